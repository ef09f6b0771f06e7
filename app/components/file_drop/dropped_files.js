// Passes a file that is dropped or pasted anywhere on the page to the input of Streamlit's uploader, as if the visitor
// had chosen it there. All limits and checks of the uploader apply.
const HINT = "Drop an image to search with it";
const HINT_MS = 1000; // Time without a new event after which a drag counts as ended, for example outside the window.

/** Handles files that are dropped or pasted on the pages of this browser tab. */
class FileDrop {
  uploader = ""; // Start of the key of the uploader.
  #hint = document.createElement("div");
  #timer = 0;

  constructor() {
    this.#hint.className = "fpc-drop-hint";
    this.#hint.textContent = HINT;
    document.addEventListener("dragover", (event) => this.#dragged(event));
    document.addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) this.#hide(); // The pointer has left the window.
    });
    document.addEventListener("drop", (event) => this.#dropped(event));
    document.addEventListener("paste", (event) => this.#pasted(event));
  }

  /** Return the uploader's input, or null on pages without an uploader. */
  get #input() {
    const nodes = [...document.querySelectorAll(`[class*="st-key-${this.uploader}"]`)];
    const own = nodes.find((node) => [...node.classList].some((name) => this.#isUploader(name)));
    return /** @type {HTMLInputElement | null} */ (own?.querySelector("input[type=file]") ?? null);
  }

  /** @param {string} name a class of an element */
  #isUploader(name) {
    const key = `st-key-${this.uploader}`;
    return name === key || (name.startsWith(`${key}-`) && /^\d+$/.test(name.slice(key.length + 1)));
  }

  /** @param {DragEvent} event */
  #dragged(event) {
    if (!event.dataTransfer?.types.includes("Files") || onDropzone(event) || !this.#input) return this.#hide();
    event.preventDefault(); // Otherwise the browser would open the file in place of the app.
    event.dataTransfer.dropEffect = "copy";
    if (!this.#hint.isConnected) document.querySelector(".stApp").append(this.#hint);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#hide(), HINT_MS);
  }

  /** @param {DragEvent} event */
  #dropped(event) {
    this.#hide();
    const files = [...(event.dataTransfer?.files ?? [])];
    if (!files.length || onDropzone(event) || !this.#input) return;
    event.preventDefault();
    this.#upload(files.find(isImage) ?? files[0]);
  }

  /** @param {ClipboardEvent} event */
  #pasted(event) {
    const image = [...(event.clipboardData?.files ?? [])].find(isImage);
    const hasText = event.clipboardData?.types.includes("text/plain"); // Office programs copy text together with an image of it.
    if (!image || (hasText && isEditable(event.composedPath()[0])) || !this.#input) return;
    event.preventDefault();
    this.#upload(image);
  }

  /** @param {File} file */
  #upload(file) {
    const files = new DataTransfer();
    files.items.add(file);
    this.#input.files = files.files;
    this.#input.dispatchEvent(new Event("change", { bubbles: true }));
  }

  #hide() {
    clearTimeout(this.#timer);
    this.#hint.remove();
  }
}

/** @param {DragEvent} event */
function onDropzone(event) {
  return Boolean(/** @type {Element} */ (event.target).closest?.("[data-testid='stFileUploaderDropzone']"));
}

/** @param {File} file */
function isImage(file) {
  return file.type.startsWith("image/") || /\.(heic|heif)$/i.test(file.name);
}

/** @param {EventTarget} node */
function isEditable(node) {
  return node instanceof HTMLElement && (node.isContentEditable || node.matches("input, textarea"));
}
