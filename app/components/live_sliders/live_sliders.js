// Sliders that move the live views while they are dragged and tell the server on release only.
const STEPS = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 5, PageDown: -5 };

function snapped(value, { low, high, step }) {
  const stepped = low + Math.round((value - low) / step) * step;
  return Math.min(high, Math.max(low, Number(stepped.toFixed(4))));
}

function drawDial(root, dial) {
  const node = document.createElement("div");
  node.className = "dial";
  const id = `dial-${dial.name}`;
  const label = document.createElement("label");
  label.htmlFor = id;
  label.textContent = dial.label;
  const value = document.createElement("output");
  value.htmlFor = id;
  const ask = document.createElement("button");
  ask.type = "button";
  ask.className = "ask";
  ask.textContent = "?";
  ask.setAttribute("aria-label", `What is ${dial.label}?`);
  ask.setAttribute("aria-expanded", "false");
  const help = document.createElement("p");
  help.id = `${id}-help`;
  help.className = "help";
  help.textContent = dial.help;
  help.hidden = true;
  ask.addEventListener("click", () => {
    help.hidden = !help.hidden;
    ask.setAttribute("aria-expanded", String(!help.hidden));
  });
  const input = document.createElement("input");
  Object.assign(input, { type: "range", id, min: dial.low, max: dial.high, step: "any" });
  input.setAttribute("aria-describedby", help.id);
  input.addEventListener("input", () => live.show({ [dial.name]: snapped(input.valueAsNumber, dial) }));
  input.addEventListener("change", () => live.release());
  let before;
  input.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return; // of a menu, which keeps the pointer's end to itself
    root.held = dial.name;
    live.held = true;
    before = live.view[dial.name];
  });
  const letGo = () => {
    if (root.held !== dial.name) return false;
    root.held = null;
    live.held = false;
    return true;
  };
  input.addEventListener("pointerup", () => letGo() && live.changed());
  input.addEventListener("pointercancel", () => {
    // The finger scrolls the page instead.
    if (letGo() && live.view[dial.name] !== before) live.release({ [dial.name]: before });
  });
  input.addEventListener("keydown", (event) => {
    const ends = { Home: dial.low, End: dial.high };
    const now = live.view[dial.name];
    const next = event.key in STEPS ? snapped(now + STEPS[event.key] * dial.step, dial) : ends[event.key];
    if (next === undefined) return;
    event.preventDefault();
    live.type({ [dial.name]: next });
  });
  const head = document.createElement("div");
  head.className = "head";
  head.append(label, ask, value);
  const note = document.createElement("div");
  note.className = "note";
  note.setAttribute("role", "status");
  node.append(head, input, ...(dial.name === "gamma" ? [note] : []), help);
  root.append(node);
  root.dials.set(dial.name, { dial, input, value, note });
}

// How far the grid of keep rates is: until it is filled a keep rate is answered on release only.
function gridNote() {
  const { progress, answer, grid } = live;
  if (!answer || progress?.key !== answer.key) return "";
  if (progress.error) return `answers on release: ${progress.error}`;
  return grid?.key === answer.key ? "answers while dragged" : `keep-rate grid ${progress.done}/${progress.total}`;
}

function paint(root) {
  const { note } = root.dials.get("gamma");
  if (note.textContent !== gridNote()) note.textContent = gridNote();
  for (const { dial, input, value } of root.dials.values()) {
    const now = live.view[dial.name];
    if (root.held !== dial.name && input.valueAsNumber !== now) input.value = now;
    const text = dial.step < 1 ? now.toFixed(Math.round(now * 1000) % 10 ? 3 : 2) : String(now);
    if (value.textContent === text) continue;
    value.textContent = text;
    input.setAttribute("aria-valuetext", text);
  }
}

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".dials");
  if (!root.dials) {
    root.dials = new Map();
    data.dials.forEach((dial) => drawDial(root, dial));
    root.sent = data.serial;
    live.held = false; // of a page that was left
  }
  // The server echoes the number of the release it answers: an answer to an earlier one must not move a dial back, nor
  // must a second look at the same answer, nor one that comes while the next value is chosen.
  const told = JSON.stringify(data);
  if (data.serial >= root.sent && told !== root.told && !live.held) {
    root.told = told;
    root.sent = data.serial;
    live.show(Object.fromEntries(data.dials.map((dial) => [dial.name, dial.value])));
  }
  root.onrelease = () => {
    root.sent += 1;
    setStateValue("released", { ...live.view, serial: root.sent });
  };
  if (!root.listening) {
    root.listening = () => root.onrelease();
    live.addEventListener("release", root.listening);
  }
  live.follow(root, () => paint(root));
  live.changed();
  return () => {
    live.removeEventListener("release", root.listening);
    root.listening = null;
    live.leave(root);
  };
}
