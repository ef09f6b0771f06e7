// Sliders that update the live views during a drag and send their values to the server only on release.

/** @typedef {{name: string, label: string, help: string, low: number, high: number, step: number, value: number, paper: number}} Slider */
const STEPS = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 5, PageDown: -5 };

/**
 * Return the nearest value on the steps of a slider, within its range.
 * @param {number} value
 * @param {Pick<Slider, "low" | "high" | "step">} slider
 */
function snap(value, { low, high, step }) {
  const stepped = low + Math.round((value - low) / step) * step;
  return Math.min(high, Math.max(low, Number(stepped.toFixed(4))));
}

function drawSlider(root, slider) {
  const node = document.createElement("div");
  node.className = "slider";
  const id = `slider-${slider.name}`;
  const label = document.createElement("label");
  label.htmlFor = id;
  label.textContent = slider.label;
  const value = document.createElement("output");
  value.htmlFor = id;
  const helpButton = document.createElement("button");
  helpButton.type = "button";
  helpButton.className = "help-button";
  helpButton.textContent = "?";
  helpButton.setAttribute("aria-label", `What is ${slider.label}?`);
  helpButton.setAttribute("aria-expanded", "false");
  const help = document.createElement("p");
  help.id = `${id}-help`;
  help.className = "help";
  help.textContent = slider.help;
  help.hidden = true;
  helpButton.addEventListener("click", () => {
    help.hidden = !help.hidden;
    helpButton.setAttribute("aria-expanded", String(!help.hidden));
  });
  const input = document.createElement("input");
  Object.assign(input, { type: "range", id, min: slider.low, max: slider.high, step: "any" });
  input.setAttribute("aria-describedby", help.id);
  input.addEventListener("input", () => live.preview({ [slider.name]: snap(input.valueAsNumber, slider) }));
  input.addEventListener("change", () => live.commit());
  let valueBefore;
  input.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return; // Other buttons open a menu, after which no pointerup event follows.
    root.dragging = slider.name;
    live.isDragging = true;
    valueBefore = live.view[slider.name];
  });
  const endDrag = () => {
    if (root.dragging !== slider.name) return false;
    root.dragging = null;
    live.isDragging = false;
    return true;
  };
  input.addEventListener("pointerup", () => endDrag() && live.changed());
  input.addEventListener("pointercancel", () => {
    // The touch scrolls the page instead, so the value is restored.
    if (endDrag() && live.view[slider.name] !== valueBefore) live.commit({ [slider.name]: valueBefore });
  });
  input.addEventListener("keydown", (event) => {
    const ends = { Home: slider.low, End: slider.high };
    const now = live.view[slider.name];
    const next = event.key in STEPS ? snap(now + STEPS[event.key] * slider.step, slider) : ends[event.key];
    if (next === undefined) return;
    event.preventDefault();
    live.setFromKeyboard({ [slider.name]: next });
  });
  // The ends of the track are 8 px, half the thumb's width, beyond the first and last position of the thumb's centre.
  const tick = document.createElement("span");
  tick.className = "tick";
  tick.title = `Paper: ${slider.paper}`;
  const share = (slider.paper - slider.low) / (slider.high - slider.low);
  tick.style.left = `calc(8px + ${share} * (100% - 16px))`;
  const track = document.createElement("div");
  track.className = "track";
  track.append(input, tick);
  const head = document.createElement("div");
  head.className = "head";
  head.append(label, helpButton, value);
  const note = document.createElement("div");
  note.className = "note";
  note.setAttribute("role", "status");
  node.append(head, track, ...(slider.name === "gamma" ? [note] : []), help);
  root.append(node);
  root.sliders.set(slider.name, { slider, input, value, note });
}

// Return the progress of the background job as text. Until it is finished, the keep rate has an effect only on release.
function gridNote() {
  const { progress, answer, grid } = live;
  if (answer?.byHand) return "No effect while you prune by hand";
  if (!answer || progress?.key !== answer.key) return "";
  if (progress.error) return `Updates on release: ${progress.error}`;
  return grid?.key === answer.key
    ? "Live: updates while you drag"
    : `Preparing live slider: ${progress.done} of ${progress.total}`;
}

function paint(root) {
  const { note } = root.sliders.get("gamma");
  if (note.textContent !== gridNote()) note.textContent = gridNote();
  for (const { slider, input, value } of root.sliders.values()) {
    const now = live.view[slider.name];
    if (root.dragging !== slider.name && input.valueAsNumber !== now) input.value = now;
    const text = slider.step < 1 ? now.toFixed(Math.round(now * 1000) % 10 ? 3 : 2) : String(now);
    if (value.textContent === text) continue;
    value.textContent = text;
    input.setAttribute("aria-valuetext", text);
  }
}

/** @param {ComponentArgs<{serial: number, sliders: Slider[], compact: boolean}>} args */
export default function ({ data, parentElement, setStateValue }) {
  /** @type {Host} */
  const root = parentElement.querySelector(".sliders");
  root.classList.toggle("compact", data.compact);
  if (!root.sliders) {
    root.sliders = new Map();
    data.sliders.forEach((slider) => drawSlider(root, slider));
    root.sent = data.serial;
    live.isDragging = false; // A drag on a previous page may not have ended.
  }
  // The server returns the number of the release that it responds to. A slider must not move back because of a response
  // to an earlier release, a repeated response, or a response that arrives while the next value is being chosen.
  const signature = JSON.stringify(data);
  if (data.serial >= root.sent && signature !== root.signature && !live.isDragging) {
    root.signature = signature;
    root.sent = data.serial;
    live.preview(Object.fromEntries(data.sliders.map((slider) => [slider.name, slider.value])));
  }
  root.oncommit = () => {
    root.sent += 1;
    setStateValue("released", { ...live.view, serial: root.sent });
  };
  if (!root.listening) {
    root.listening = () => root.oncommit();
    live.addEventListener("commit", root.listening);
  }
  live.follow(root, () => paint(root));
  live.changed();
  return () => {
    live.removeEventListener("commit", root.listening);
    root.listening = null;
    live.unfollow(root);
  };
}
