// Keyboard shortcuts of a page. Keys are handled on the document, unless they belong to the element with the focus.

/** @typedef {{keys: string[], about: string, selector: string, action: "click" | "focus" | "fullscreen" | "previous" | "next"}} Shortcut */

const NAMES = { " ": "Space", PageDown: "Page Down", PageUp: "Page Up" };

/**
 * Return whether a key press belongs to the element that has the focus.
 * @param {KeyboardEvent} event
 */
function isTyping(event) {
  const target = /** @type {HTMLElement} */ (event.composedPath()[0]);
  if (["TEXTAREA", "SELECT"].includes(target.tagName) || target.isContentEditable) return true;
  // Space presses buttons and switches, and the page keys move sliders.
  if (event.key === " " && target.closest?.("button, input, summary, a, [role]:not([role=tabpanel])")) return true;
  if (event.key.startsWith("Page") && target.tagName === "INPUT") return true;
  if (target.tagName === "INPUT")
    return !["range", "checkbox", "radio"].includes(/** @type {HTMLInputElement} */ (target).type);
  return false;
}

/**
 * Return the element of a selector, whose part after " >>> " is searched inside components.
 * @param {string} selector
 * @returns {HTMLElement | null}
 */
function find(selector) {
  const [outer, inner] = selector.split(" >>> ");
  if (!inner) return document.querySelector(outer);
  for (const node of document.querySelectorAll(`${outer} *`)) {
    const found = node.shadowRoot?.querySelector(inner) ?? null;
    if (found) return /** @type {HTMLElement} */ (found);
  }
  return document.querySelector(`${outer} ${inner}`);
}

/**
 * Return the shortcut of a key press, or undefined.
 * @param {Shortcut[]} shortcuts
 * @param {KeyboardEvent} event
 */
function shortcutOf(shortcuts, event) {
  if (event.repeat || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return undefined;
  if (isTyping(event)) return undefined;
  return shortcuts.find(({ keys }) => keys.includes(event.key) || keys.includes(event.key.toLowerCase()));
}

// Storage key of the setting that switches off letters and digits, which speech input or a tremor can press by accident.
const SWITCH = "fpc-letter-keys";
let lettersWork = storage((store) => store.getItem(SWITCH)) !== "off";

/**
 * Use the browser's storage, or return null if the visitor has blocked it. The switch is then reset by a reload.
 * @param {(store: Storage) => any} use
 */
function storage(use) {
  try {
    return use(localStorage);
  } catch {
    return null;
  }
}

/**
 * Return whether a shortcut is a letter or a digit.
 * @param {Shortcut} shortcut
 */
function isLetter({ keys }) {
  return /^[a-z0-9]$/.test(keys[0]);
}

/** Create the switch for letters and digits. */
function letterSwitch() {
  const [label, input] = [element("label"), element("input")];
  input.type = "checkbox";
  input.checked = lettersWork;
  input.addEventListener("change", () => {
    lettersWork = input.checked;
    storage((store) => store.setItem(SWITCH, lettersWork ? "on" : "off"));
  });
  label.append(input, " Letters and digits work as shortcuts");
  return label;
}

/**
 * Fill the dialog with all shortcuts.
 * @param {any} dialog
 * @param {Shortcut[]} shortcuts
 */
function fillDialog(dialog, shortcuts) {
  const list = element("dl");
  for (const { keys, about } of [...shortcuts, { keys: ["?"], about: "Show these shortcuts" }]) {
    const term = element("dt");
    keys.forEach((key, at) => {
      if (at) term.append(" or ");
      term.append(element("kbd", "", NAMES[key] ?? key.toUpperCase()));
    });
    list.append(term, element("dd", "", about));
  }
  const close = element("button", "", "Close");
  close.type = "button";
  close.addEventListener("click", () => dialog.close());
  dialog.replaceChildren(element("h2", "", "Keyboard shortcuts"), list, letterSwitch(), close);
}

function toggleFullscreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.documentElement.requestFullscreen();
}

/** @param {ComponentArgs<{shortcuts: Shortcut[]}>} args */
export default function ({ data, parentElement, setTriggerValue }) {
  /** @type {any} */
  const dialog = parentElement.querySelector("dialog");
  fillDialog(dialog, data.shortcuts);
  const onKey = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "?" && !isTyping(event)) {
      event.preventDefault();
      if (!dialog.open) dialog.showModal();
      return;
    }
    const shortcut = dialog.open ? undefined : shortcutOf(data.shortcuts, event);
    if (!shortcut || (isLetter(shortcut) && !lettersWork)) return;
    event.preventDefault();
    const { action, selector } = shortcut;
    if (action === "click" || action === "focus") find(selector)?.[action]();
    else if (action === "fullscreen") toggleFullscreen();
    else setTriggerValue("stepped", action);
  };
  document.addEventListener("keydown", onKey);
  return () => document.removeEventListener("keydown", onKey);
}
