// What most components begin with. Text reaches the page as textContent; nothing here parses markup.
function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
}

function set(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
}

// An element of an SVG.
function drawn(tag, attributes = {}, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  set(node, attributes);
  if (text !== undefined) node.textContent = text;
  return node;
}

function floats(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at += 1) bytes[at] = text.charCodeAt(at);
  return new Float32Array(bytes.buffer);
}

const VIRIDIS = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];

// A colour bar between its ends, behind what it shows: a narrow screen breaks before the bar, never between it and them.
function colourBar(stops) {
  const [label, low, bar, high] = ["label", "low", "bar", "high"].map((name) => element("span", name));
  bar.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  const ends = element("span", "ends");
  ends.append(low, bar, high);
  const node = element("div", "scale");
  node.append(label, ends);
  return { node, set: (...texts) => [label, low, high].forEach((part, at) => (part.textContent = texts[at])) };
}

// Says it now, and again and again until `host.timer` is cleared: what meets another run of the page may go unheard. Every
// time after twice as many ms, and never while the page runs: it would run once more for what it is just answering.
const PATIENCE = 2000;
function insist(host, say, patience = PATIENCE) {
  say();
  const again = () => {
    if (runs()) host.timer = setTimeout(again, patience);
    else insist(host, say, 2 * patience);
  };
  host.timer = setTimeout(again, patience);
}

function runs() {
  return document.querySelector("[data-testid='stApp']")?.dataset.testScriptState === "running";
}

// Runs `work` once before the next frame, however often it is asked to.
function onceAFrame(work) {
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

// One view per mounted component: `make` runs at the first call only.
const views = new WeakMap();
function viewOf(parentElement, make) {
  const host = parentElement.querySelector("[data-root]");
  if (!views.has(host)) views.set(host, make(host));
  return views.get(host);
}
