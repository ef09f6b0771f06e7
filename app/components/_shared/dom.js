// Helpers of most components. Text reaches the page as textContent; nothing here parses markup.

/**
 * @param {string} tag
 * @param {string} [className]
 * @param {string} [text]
 * @returns {any} an element whose own state its component may keep on it
 */
function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
}

/**
 * @param {Element} node
 * @param {Record<string, unknown>} attributes
 */
function setAttributes(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
}

/**
 * Make an element of an SVG.
 * @param {string} tag
 * @param {Record<string, unknown>} [attributes]
 * @param {string} [text]
 * @returns {any}
 */
function svgElement(tag, attributes = {}, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  setAttributes(node, attributes);
  if (text !== undefined) node.textContent = text;
  return node;
}

/**
 * @param {string} base64 of float32, little-endian
 */
function decodeFloats(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at += 1) bytes[at] = text.charCodeAt(at);
  return new Float32Array(bytes.buffer);
}

const VIRIDIS = [
  "#440154",
  "#482878",
  "#3e4989",
  "#31688e",
  "#26828e",
  "#1f9e89",
  "#35b779",
  "#6ece58",
  "#b5de2b",
  "#fde725",
];

/**
 * A colour bar between its ends, behind its label: a narrow screen breaks before the bar, never between it and them.
 * @param {string[]} stops CSS colours, left to right
 */
function colourBar(stops) {
  const [label, low, bar, high] = ["label", "low", "bar", "high"].map((name) => element("span", name));
  bar.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  const ends = element("span", "ends");
  ends.append(low, bar, high);
  const node = element("div", "scale");
  node.append(label, ends);
  return {
    node,
    set: (/** @type {string[]} */ ...texts) => [label, low, high].forEach((part, at) => (part.textContent = texts[at])),
  };
}

const RETRY_DELAY = 2000; // ms
const NAVIGATION_MS = 15_000; // Longest time that a clicked page link blocks automatic messages.

/**
 * The page that a clicked link leads to, until the browser shows its address.
 *
 * A message between the click and the start of the new page would undo the click: Streamlit sends the old page with it,
 * and of two waiting requests the page of the newer one wins.
 */
class Navigation {
  #target = "";
  #since = -Infinity;

  /** @param {MouseEvent} event a click anywhere on the page */
  note(event) {
    const link = /** @type {Element} */ (event.target)?.closest?.("a[href]");
    const elsewhere = event.ctrlKey || event.metaKey || event.shiftKey || link?.getAttribute("target") === "_blank";
    if (!link || elsewhere) return;
    const { origin, pathname } = new URL(link.getAttribute("href"), location.href);
    if (origin === location.origin) [this.#target, this.#since] = [pathname, performance.now()];
  }

  get pending() {
    return performance.now() - this.#since < NAVIGATION_MS && location.pathname !== this.#target;
  }
}

/** @returns {Navigation} the one of this browser tab, which the first component installs */
function navigation() {
  if (!window.fpcNavigation) {
    window.fpcNavigation = new Navigation();
    document.addEventListener("click", (event) => window.fpcNavigation.note(event), true);
  }
  return window.fpcNavigation;
}
navigation();

/**
 * Send a message now, and again until `host.timer` is cleared: one that meets another run of the page may be lost. The
 * delay doubles every time. Nothing is sent while the page runs, because it would run once more for what it is
 * answering, nor while the visitor leaves for another page.
 * @param {Host} host
 * @param {() => void} send
 * @param {number} delay in ms
 */
function repeatUntilAnswered(host, send, delay = RETRY_DELAY) {
  if (!navigation().pending) send();
  const again = () => {
    if (pageIsRunning()) host.timer = setTimeout(again, delay);
    else repeatUntilAnswered(host, send, 2 * delay);
  };
  host.timer = setTimeout(again, delay);
}

function pageIsRunning() {
  return (
    /** @type {HTMLElement} */ (document.querySelector("[data-testid='stApp']"))?.dataset.testScriptState === "running"
  );
}

/**
 * Run `work` once before the next frame, however often the returned function is called.
 * @param {() => void} work
 * @returns {() => void}
 */
function oncePerFrame(work) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      work();
    });
  };
}

const views = new WeakMap();
/**
 * One view per mounted component: `make` runs at the first call only.
 * @template View
 * @param {HTMLElement} parentElement
 * @param {(host: Host) => View} make
 * @returns {View}
 */
function viewOf(parentElement, make) {
  /** @type {Host} */
  const host = parentElement.querySelector("[data-root]");
  if (!views.has(host)) views.set(host, make(host));
  return views.get(host);
}
