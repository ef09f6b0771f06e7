// Helpers that most components use. Texts are set as textContent and never parsed as markup.

/**
 * Create an HTML element.
 * @param {string} tag
 * @param {string} [className]
 * @param {string} [text]
 * @returns {any} an element on which the component may store properties of its own
 */
function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
}

/**
 * Set several attributes of a node.
 * @param {Element} node
 * @param {Record<string, unknown>} attributes
 */
function setAttributes(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
}

/**
 * Create an SVG element.
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
 * Decode numbers that the server has sent.
 * @param {string} base64 little-endian float32 values in base64
 */
function decodeFloats(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at += 1) bytes[at] = text.charCodeAt(at);
  return new Float32Array(bytes.buffer);
}

const RETRY_DELAY = 2000; // Milliseconds before a message is sent again.

/**
 * Send a message now and repeat it until `host.timer` is cleared, because a message that arrives during a run of the
 * page may be lost. The delay doubles every time. No repetition is sent while the page runs, because the page may
 * already be responding and would run again. Nothing is sent while a clicked link is opening another page.
 * @param {Host} host
 * @param {() => void} send
 * @param {number} delay milliseconds until the first repetition
 */
function repeatUntilAnswered(host, send, delay = RETRY_DELAY) {
  if (!window.fpcNavigation?.pending) send();
  const again = () => {
    if (pageIsRunning()) host.timer = setTimeout(again, delay);
    else repeatUntilAnswered(host, send, 2 * delay);
  };
  host.timer = setTimeout(again, delay);
}

/** Return whether the server is running the script of the page. */
function pageIsRunning() {
  return (
    /** @type {HTMLElement} */ (document.querySelector("[data-testid='stApp']"))?.dataset.testScriptState === "running"
  );
}

/**
 * Return a function that runs `work` once before the next frame, however often it is called until then.
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
 * Return the view of a mounted component, which `make` creates in the first call.
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
