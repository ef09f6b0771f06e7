// The editor of a scene: SVG in pixels of the image, so that every shape can be focused, named and clipped. The browser
// keeps the scene and its history; `setStateValue("scene", {serial, held, occluders})` tells the server.
const HOLD = 200; // ms between two scenes sent while something is dragged
const KEY_PAUSE = 250; // ms after the last key press until the scene counts as released
const HISTORY = 100;
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const NEW = {
  rectangle: { x: 0.5, y: 0.5, width: 0.6, height: 0.3, rotation: 0, colour: "#808080" },
  pole: { x: 0.5, y: 0.5, width: 0.14, height: 1.04, rotation: 0, colour: "#9a9da1" },
  texture: { x: 0.5, y: 0.72, width: 1, height: 0.4, rotation: 0, texture: "bricks" },
};
class Editor {
  constructor(root) {
    this.root = root;
    root.className = "editor";
    this.shapes = [];
    this.past = [];
    this.future = [];
    this.chosen = null; // place of the selected shape
    this.painting = false;
    this.brush = { colour: "#808080", width: 0.12 };
    this.draw = onceAFrame(() => this.drawAll());
    this.build();
    root.addEventListener("keydown", (event) => this.keyOfAll(event));
    new ResizeObserver(this.draw).observe(this.svg);
  }

  build() {
    this.adders = Object.keys(NAMES).map((kind) => button(kind, kind === "stroke" ? "Paint" : NAMES[kind], () => this.add(kind)));
    this.edits = {
      undo: button("undo", "Undo", () => this.step(this.past, this.future)),
      redo: button("redo", "Redo", () => this.step(this.future, this.past)),
      forward: button("forward", "Forward", () => this.reorder(1)),
      back: button("back", "Back", () => this.reorder(-1)),
      remove: button("remove", "Delete", () => this.remove()),
      reset: button("reset", "Reset", () => this.commit([], null)),
    };
    this.colour = Object.assign(element("input"), { type: "color" });
    this.colour.addEventListener("input", () => this.paintAs({ colour: this.colour.value }, true));
    this.colour.addEventListener("change", () => this.paintAs({ colour: this.colour.value }, false));
    this.thick = Object.assign(element("input"), { type: "range", min: 0.03, max: 0.5, step: 0.01 });
    this.thick.addEventListener("input", () => this.paintAs({ width: this.thick.valueAsNumber }, true));
    this.thick.addEventListener("change", () => this.paintAs({ width: this.thick.valueAsNumber }, false));
    this.texture = element("select");
    this.texture.addEventListener("change", () => this.paintAs({ texture: this.texture.value }, false));
    this.mirror = button("mirror", "Mirror", () => this.paintAs({ mirrored: !this.shapes[this.chosen].mirrored }, false));
    const properties = { colour: ["Colour", this.colour], thick: ["Width", this.thick], texture: ["Texture", this.texture] };
    this.properties = Object.fromEntries(Object.entries(properties).map(([name, [text, input]]) => [name, labelled(text, input)]));
    const bars = ["Add", "Change"].map((name) => {
      const bar = element("div", "bar");
      bar.setAttribute("role", "toolbar");
      bar.setAttribute("aria-label", name);
      return bar;
    });
    bars[0].append(...this.adders);
    bars[1].append(...Object.values(this.edits), ...Object.values(this.properties), this.mirror);
    this.table = element("div", "table");
    this.svg = drawn("svg", { role: "group" });
    this.defs = drawn("defs");
    this.picture = drawn("image", { preserveAspectRatio: "none" });
    this.layer = drawn("g");
    this.over = drawn("g");
    this.svg.append(this.defs, this.picture, this.layer, this.over);
    this.svg.addEventListener("pointerdown", (event) => this.press(event));
    this.svg.addEventListener("pointermove", (event) => this.drag(event));
    for (const end of ["pointerup", "pointercancel"]) this.svg.addEventListener(end, (event) => this.let(event));
    this.table.append(this.svg);
    this.said = element("p", "said");
    this.said.setAttribute("role", "status");
    this.root.replaceChildren(bars[0], this.table, this.said, bars[1]);
  }

  // What the server sends: taken whole the first time, later only where its serial is ahead of the last release here.
  hear(data) {
    const first = this.data === undefined;
    this.data = data;
    if (!this.size || this.size[0] !== data.width || this.size[1] !== data.height) this.resize(data);
    this.picture.setAttribute("href", data.image);
    if (first) this.texture.append(...Object.keys(data.tiles).map((name) => Object.assign(element("option", "", name), { value: name })));
    if (first) [this.serial, this.shapes] = [data.serial, data.occluders];
    else if (data.serial > this.serial && !this.held) {
      this.serial = data.serial;
      if (!same(data.occluders, this.shapes)) this.remember(data.occluders, null);
    }
    this.draw();
  }

  resize({ width, height }) {
    this.size = [width, height];
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    for (const [name, value] of Object.entries({ width, height })) this.picture.setAttribute(name, value);
    this.defs.replaceChildren(...definitions(this.size, this.data));
    this.layer.setAttribute("clip-path", "url(#image)");
  }

  // --- what is done to the scene -----------------------------------------------------------------------------------

  add(kind) {
    if (kind === "stroke") {
      this.painting = !this.painting;
      this.chosen = null;
      return this.draw();
    }
    this.painting = false;
    const shape = kind === "cut_out" ? this.data.person : { kind, ...NEW[kind] };
    const nudge = 0.04 * (this.shapes.filter((each) => each.kind === kind).length % 5);
    this.commit([...this.shapes, moved(shape, nudge, nudge)], this.shapes.length, true);
  }

  remove() {
    if (this.chosen === null) return;
    const left = this.shapes.filter((_, place) => place !== this.chosen);
    this.commit(left, left.length ? Math.min(this.chosen, left.length - 1) : null, true);
  }

  reorder(by) {
    const to = this.chosen + by;
    if (this.chosen === null || to < 0 || to >= this.shapes.length) return;
    const order = [...this.shapes];
    order.splice(to, 0, ...order.splice(this.chosen, 1));
    this.commit(order, to, true);
  }

  paintAs(values, moving) {
    if (this.painting) Object.assign(this.brush, values);
    else if (this.chosen !== null) this.change({ ...this.shapes[this.chosen], ...values });
    if (!moving) this.release();
    this.draw();
  }

  // The selected shape while it is dragged, or while a key is pressed again and again: history waits for the release.
  change(shape) {
    this.before ??= { shapes: this.shapes, chosen: this.chosen };
    this.shapes = this.shapes.map((each, place) => (place === this.chosen ? shape : each));
    this.draw();
    this.hold();
  }

  release() {
    clearTimeout(this.typing);
    clearTimeout(this.holding);
    const { before } = this;
    this.before = this.holding = null;
    if (!before || same(before.shapes, this.shapes)) return;
    this.past.push(before);
    this.past.splice(0, this.past.length - HISTORY);
    this.future = [];
    this.tell();
  }

  commit(shapes, chosen, focus = false) {
    this.release();
    if (same(shapes, this.shapes)) return;
    this.remember(shapes, chosen);
    this.tell();
    this.draw();
    if (focus && chosen !== null) requestAnimationFrame(() => this.layer.children[chosen]?.focus({ preventScroll: true }));
  }

  remember(shapes, chosen) {
    this.past.push({ shapes: this.shapes, chosen: this.chosen });
    this.past.splice(0, this.past.length - HISTORY);
    this.future = [];
    [this.shapes, this.chosen] = [shapes, chosen];
  }

  step(from, to) {
    this.release();
    const next = from.pop();
    if (!next) return;
    to.push({ shapes: this.shapes, chosen: this.chosen });
    [this.shapes, this.chosen] = [next.shapes, next.chosen < next.shapes.length ? next.chosen : null];
    this.tell();
    this.draw();
  }

  tell() {
    this.serial += 1;
    this.send({ serial: this.serial, held: false, occluders: this.shapes });
  }

  // At once, then at most every HOLD ms, with the scene of that moment.
  hold() {
    if (this.holding) return void (this.due = true);
    this.due = false;
    this.send({ serial: this.serial, held: true, occluders: this.shapes });
    this.holding = setTimeout(() => {
      this.holding = null;
      if (this.due) this.hold();
    }, HOLD);
  }

  // --- pointer -----------------------------------------------------------------------------------------------------

  // In pixels of the image.
  at(event) {
    const box = this.svg.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * this.size[0], ((event.clientY - box.top) / box.height) * this.size[1]];
  }

  press(event) {
    if (event.button !== 0 || this.held) return;
    const point = this.at(event);
    const handle = event.target.dataset?.handle;
    const place = Number(event.target.closest("[data-shape]")?.dataset.shape ?? -1);
    if (this.painting) {
      if (this.shapes.length >= this.data.mostOccluders) return;
      this.before = { shapes: this.shapes, chosen: null };
      this.line = [this.fraction(point)];
      this.shapes = [...this.shapes, { kind: "stroke", points: this.line, ...this.brush }];
      this.held = { mode: "paint", pointer: event.pointerId, last: point };
      this.hold();
    } else if (handle) {
      this.held = { mode: handle, pointer: event.pointerId, shape: this.shapes[this.chosen], from: point };
    } else if (place >= 0) {
      this.chosen = place;
      this.held = { mode: "move", pointer: event.pointerId, shape: this.shapes[place], from: point };
      this.layer.children[place].focus({ preventScroll: true });
    } else {
      this.chosen = null;
    }
    if (this.held) {
      this.svg.setPointerCapture(event.pointerId);
      event.preventDefault();
    }
    this.draw();
  }

  fraction([x, y]) {
    return [round4(clamp(x / this.size[0], -2, 3)), round4(clamp(y / this.size[1], -2, 3))];
  }

  drag(event) {
    if (this.held?.pointer !== event.pointerId) return;
    const { mode, shape, from } = this.held;
    const point = this.at(event);
    const [dx, dy] = from ? [point[0] - from[0], point[1] - from[1]] : [0, 0];
    if (mode === "paint") this.paintTo(point);
    else if (mode === "move") this.change(moved(shape, dx / this.size[0], dy / this.size[1]));
    else if (mode === "turn") this.change(turned(shape, this.angle(point, shape) - this.angle(from, shape), this.size[1] / this.size[0]));
    else this.change(this.stretched(shape, mode, point, event.shiftKey));
  }

  paintTo(point) {
    if (Math.hypot(point[0] - this.held.last[0], point[1] - this.held.last[1]) < 1.5) return;
    this.held.last = point;
    this.line = [...this.line, this.fraction(point)];
    const stroke = { ...this.shapes.at(-1), points: thinned(this.line, this.data.mostPoints) };
    this.shapes = [...this.shapes.slice(0, -1), stroke];
    this.draw();
    this.hold();
  }

  // Degrees from the centre of a shape to a point.
  angle([x, y], shape) {
    const box = boxOf(shape);
    return (Math.atan2(y - box.y * this.size[1], x - box.x * this.size[0]) * 180) / Math.PI;
  }

  // A corner follows the pointer and the opposite one stays; both sides by the same factor if `even`.
  stretched(shape, corner, [x, y], even) {
    const box = boxOf(shape);
    const [width, height] = [box.width * this.size[0], box.height * this.size[1]];
    const [cos, sin] = [Math.cos(radians(box.rotation)), Math.sin(radians(box.rotation))];
    const [sx, sy] = [corner.includes("e") ? 1 : -1, corner.includes("s") ? 1 : -1];
    const fixed = [
      box.x * this.size[0] - (cos * sx * width - sin * sy * height) / 2,
      box.y * this.size[1] - (sin * sx * width + cos * sy * height) / 2,
    ];
    const [dx, dy] = [x - fixed[0], y - fixed[1]];
    let across = Math.max((sx * (cos * dx + sin * dy)) / width || 1, SMALLEST);
    let down = Math.max((sy * (cos * dy - sin * dx)) / height || 1, SMALLEST);
    if (even || shape.kind === "stroke") across = down = Math.max(across, down);
    const grown = scaled(shape, across, down);
    const after = boxOf(grown);
    const [half, side] = [(sx * after.width * this.size[0]) / 2, (sy * after.height * this.size[1]) / 2];
    return moved(grown, (fixed[0] + cos * half - sin * side) / this.size[0] - after.x, (fixed[1] + sin * half + cos * side) / this.size[1] - after.y);
  }

  let(event) {
    if (this.held?.pointer !== event.pointerId) return;
    this.held = null;
    this.release();
    this.draw();
  }

  // --- keyboard ----------------------------------------------------------------------------------------------------

  keyOfAll(event) {
    event.stopPropagation(); // the page has shortcuts of its own
    const key = event.key.toLowerCase();
    if (!(event.ctrlKey || event.metaKey) || (key !== "z" && key !== "y")) return;
    event.preventDefault();
    if (key === "y" || event.shiftKey) this.step(this.future, this.past);
    else this.step(this.past, this.future);
  }

  key(event, place) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    this.chosen = place;
    const shape = this.shapes[place];
    const [across, down] = STEPS[event.key] ?? [];
    const step = event.shiftKey ? 0.08 : 0.02;
    const ratio = this.size[0] / this.size[1];
    if (across !== undefined) this.change(moved(shape, across * step, down * step * ratio));
    else if (event.key === "+" || event.key === "=") this.change(scaled(shape, 1.1, 1.1));
    else if (event.key === "-" || event.key === "_") this.change(scaled(shape, 1 / 1.1, 1 / 1.1));
    else if (event.key === "r") this.change(turned(shape, 15, 1 / ratio));
    else if (event.key === "R") this.change(turned(shape, -15, 1 / ratio));
    else if (event.key === "PageUp" || event.key === "PageDown") this.reorder(event.key === "PageUp" ? 1 : -1);
    else if (event.key === "Delete" || event.key === "Backspace") this.remove();
    else if (event.key === "Escape") this.chosen = null;
    else return;
    event.preventDefault();
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.release(), KEY_PAUSE);
    this.draw();
  }

  // --- drawing -----------------------------------------------------------------------------------------------------

  describe(place) {
    const shape = this.shapes[place];
    const box = boxOf(shape);
    const whole = (share) => `${Math.round(100 * share)} %`;
    const size = shape.kind === "stroke" ? `brush ${whole(shape.width)}` : `${whole(box.width)} × ${whole(box.height)}`;
    const turn = box.rotation ? ` · turned ${Math.round(box.rotation)}°` : "";
    return `${NAMES[shape.kind]}, ${place + 1} of ${this.shapes.length} · centre ${whole(box.x)} across, ${whole(box.y)} down · ${size}${turn}`;
  }

  drawAll() {
    if (!this.data) return;
    while (this.layer.children.length < this.shapes.length) this.layer.append(this.newShape());
    while (this.layer.children.length > this.shapes.length) this.layer.lastChild.remove();
    this.shapes.forEach((shape, place) => this.fill(this.layer.children[place], shape, place));
    const chosen = this.layer.children[this.chosen];
    drawHandles(this.over, chosen && this.shapes[this.chosen], this.size, this.svg.clientWidth, chosen?.matches(":focus-visible"));
    this.drawBars();
    const help = this.painting
      ? "Paint on the image. Press Paint again to stop."
      : "Drag a shape, its corners or its round handle. Keys: Tab, arrows, + and −, R turns, Page Up and Down, Delete.";
    const text = this.chosen !== null ? this.describe(this.chosen) : this.shapes.length || this.painting ? help : "Add an occluder, or paint one.";
    if (this.said.textContent !== text) this.said.textContent = text;
    this.svg.setAttribute("aria-label", `Query with ${this.shapes.length} occluders`);
  }

  newShape() {
    const node = drawn("g", { class: "shape", tabindex: "0", role: "button" });
    node.addEventListener("keydown", (event) => this.key(event, Number(node.dataset.shape)));
    node.addEventListener("focus", () => {
      if (this.held || this.painting) return;
      this.chosen = Number(node.dataset.shape);
      this.draw();
    });
    return node;
  }

  fill(node, shape, place) {
    node.dataset.shape = place;
    node.setAttribute("aria-label", this.describe(place));
    node.setAttribute("aria-pressed", String(place === this.chosen));
    fillShape(node, shape, this.size, this.data);
  }

  drawBars() {
    const shape = this.chosen === null ? null : this.shapes[this.chosen];
    const full = this.shapes.length >= this.data.mostOccluders;
    for (const node of this.adders) {
      node.disabled = full && !this.painting;
      if (node.dataset.act === "stroke") node.setAttribute("aria-pressed", String(this.painting));
    }
    this.table.classList.toggle("painting", this.painting);
    const { undo, redo, forward, back, remove, reset } = this.edits;
    undo.disabled = !this.past.length && !this.before;
    redo.disabled = !this.future.length;
    remove.disabled = !shape;
    forward.disabled = !shape || this.chosen === this.shapes.length - 1;
    back.disabled = !shape || this.chosen === 0;
    reset.disabled = !this.shapes.length;
    const painted = this.painting ? this.brush : shape;
    this.properties.colour.hidden = !painted?.colour;
    this.properties.thick.hidden = !(this.painting || shape?.kind === "stroke");
    this.properties.texture.hidden = !shape?.texture;
    this.mirror.hidden = shape?.kind !== "cut_out";
    if (painted?.colour) this.colour.value = painted.colour;
    if (painted?.width) this.thick.value = painted.width;
    if (shape?.texture) this.texture.value = shape.texture;
  }
}

export default function ({ data, parentElement, setStateValue }) {
  const editor = viewOf(parentElement, (root) => new Editor(root));
  editor.send = (scene) => setStateValue("scene", scene);
  editor.hear(data);
}
