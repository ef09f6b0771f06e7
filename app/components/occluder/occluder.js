// The editor of a scene. It is an SVG in pixels of the image, so that every shape can be focused, labelled and clipped.
// The browser stores the scene and its history, and sends it by `setStateValue("scene", {serial, dragging, occluders})`.
const DRAFT_INTERVAL = 200; // Minimum number of milliseconds between two scenes that are sent during a drag.
const KEY_PAUSE = 250; // Milliseconds after the last key press until a change counts as finished.
const HISTORY = 100; // Maximum number of undo steps.
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

class Editor {
  /** @type {(scene: {serial: number, dragging: boolean, occluders: Shape[]}) => void} sends a scene to the server */
  send;
  /** @type {[number, number]} width and height of the image in pixels */
  size;

  constructor(root) {
    this.root = root;
    root.className = "editor";
    this.shapes = [];
    this.past = [];
    this.future = [];
    this.selected = null; // Index of the selected shape, or null.
    this.painting = false;
    this.brush = { colour: "#808080", width: 0.12 };
    this.draw = oncePerFrame(() => this.drawAll());
    this.build();
    root.addEventListener("keydown", (event) => this.onEditorKey(event));
    new ResizeObserver(this.draw).observe(this.svg);
  }

  build() {
    this.adders = Object.keys(NAMES).map((kind) =>
      button(kind, kind === "stroke" ? "Draw" : NAMES[kind], () => this.add(kind)),
    );
    this.edits = {
      undo: button("undo", "Undo", () => this.step(this.past, this.future)),
      redo: button("redo", "Redo", () => this.step(this.future, this.past)),
      forward: button("forward", "Bring forward", () => this.reorder(1)),
      back: button("back", "Send backward", () => this.reorder(-1)),
      remove: button("remove", "Delete", () => this.remove()),
      reset: button("reset", "Reset", () => this.commit([], null)),
    };
    this.colour = Object.assign(element("input"), { type: "color" });
    this.colour.addEventListener("input", () => this.setProperties({ colour: this.colour.value }, true));
    this.colour.addEventListener("change", () => this.setProperties({ colour: this.colour.value }, false));
    this.thick = Object.assign(element("input"), { type: "range", min: 0.03, max: 0.5, step: 0.01 });
    this.thick.addEventListener("input", () => this.setProperties({ width: this.thick.valueAsNumber }, true));
    this.thick.addEventListener("change", () => this.setProperties({ width: this.thick.valueAsNumber }, false));
    this.texture = element("select");
    this.texture.addEventListener("change", () => this.setProperties({ texture: this.texture.value }, false));
    this.mirror = button("mirror", "Mirror", () =>
      this.setProperties({ mirrored: !this.shapes[this.selected].mirrored }, false),
    );
    const properties = {
      colour: ["Colour", this.colour],
      thick: ["Width", this.thick],
      texture: ["Texture", this.texture],
    };
    this.properties = Object.fromEntries(
      Object.entries(properties).map(([name, [text, input]]) => [name, labelInput(text, input)]),
    );
    const addBar = makeToolbar("Add", this.adders);
    const changeBar = makeToolbar("Change", [
      ...Object.values(this.edits),
      ...Object.values(this.properties),
      this.mirror,
    ]);
    this.table = element("div", "table");
    this.svg = svgElement("svg", { role: "group" });
    this.defs = svgElement("defs");
    this.picture = svgElement("image", { preserveAspectRatio: "none" });
    this.layer = svgElement("g");
    this.over = svgElement("g");
    this.svg.append(this.defs, this.picture, this.layer, this.over);
    this.svg.addEventListener("pointerdown", (event) => this.startDrag(event));
    this.svg.addEventListener("pointermove", (event) => this.drag(event));
    for (const end of ["pointerup", "pointercancel"]) this.svg.addEventListener(end, (event) => this.endDrag(event));
    this.table.append(this.svg);
    this.description = element("p", "description");
    this.description.setAttribute("role", "status");
    this.root.replaceChildren(addBar, this.table, this.description, changeBar);
  }

  // Receive the server's data. The first scene is accepted as it is, later ones only if their serial is higher.
  receive(data) {
    const first = this.data === undefined;
    this.data = data;
    if (!this.size || this.size[0] !== data.width || this.size[1] !== data.height) this.resize(data);
    this.picture.setAttribute("href", data.image);
    if (first)
      this.texture.append(
        ...Object.keys(data.tiles).map((name) => Object.assign(element("option", "", name), { value: name })),
      );
    if (first) [this.serial, this.shapes] = [data.serial, data.occluders];
    else if (data.serial > this.serial && !this.pointerDrag) {
      this.serial = data.serial;
      if (!isEqual(data.occluders, this.shapes)) this.replaceScene(data.occluders, null);
    }
    this.draw();
  }

  resize({ width, height }) {
    this.size = [width, height];
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    for (const [name, value] of Object.entries({ width, height })) this.picture.setAttribute(name, value);
    this.defs.replaceChildren(...makeDefinitions(this.size, this.data));
    this.layer.setAttribute("clip-path", "url(#image)");
  }

  // --- changes of the scene ----------------------------------------------------------------------------------------

  add(kind) {
    if (kind === "stroke") {
      this.painting = !this.painting;
      this.selected = null;
      return this.draw();
    }
    this.painting = false;
    const shape = kind === "cut_out" ? this.data.person : { kind, ...NEW_SHAPES[kind] };
    const nudge = 0.04 * (this.shapes.filter((other) => other.kind === kind).length % 5);
    this.commit([...this.shapes, moveShape(shape, nudge, nudge)], this.shapes.length, true);
  }

  remove() {
    if (this.selected === null) return;
    const left = this.shapes.filter((_, index) => index !== this.selected);
    this.commit(left, left.length ? Math.min(this.selected, left.length - 1) : null, true);
  }

  reorder(by) {
    const to = this.selected + by;
    if (this.selected === null || to < 0 || to >= this.shapes.length) return;
    const order = [...this.shapes];
    order.splice(to, 0, ...order.splice(this.selected, 1));
    this.commit(order, to, true);
  }

  setProperties(values, moving) {
    if (this.painting) Object.assign(this.brush, values);
    else if (this.selected !== null) this.change({ ...this.shapes[this.selected], ...values });
    if (!moving) this.release();
    this.draw();
  }

  // Change the selected shape during a drag or repeated key presses. `release` adds the whole change to the history.
  change(shape) {
    this.before ??= { shapes: this.shapes, selected: this.selected };
    this.shapes = this.shapes.map((old, index) => (index === this.selected ? shape : old));
    this.draw();
    this.sendDraft();
  }

  release() {
    clearTimeout(this.keyTimer);
    clearTimeout(this.draftTimer);
    const { before } = this;
    this.before = this.draftTimer = null;
    if (!before || isEqual(before.shapes, this.shapes)) return;
    this.pushHistory(before);
    this.sendCommit();
  }

  commit(shapes, selected, focus = false) {
    this.release();
    if (isEqual(shapes, this.shapes)) return;
    this.replaceScene(shapes, selected);
    this.sendCommit();
    this.draw();
    if (focus && selected !== null)
      requestAnimationFrame(() => this.layer.children[selected]?.focus({ preventScroll: true }));
  }

  replaceScene(shapes, selected) {
    this.pushHistory({ shapes: this.shapes, selected: this.selected });
    [this.shapes, this.selected] = [shapes, selected];
  }

  pushHistory(scene) {
    this.past.push(scene);
    this.past.splice(0, this.past.length - HISTORY);
    this.future = [];
  }

  step(from, to) {
    this.release();
    const next = from.pop();
    if (!next) return;
    to.push({ shapes: this.shapes, selected: this.selected });
    [this.shapes, this.selected] = [next.shapes, next.selected < next.shapes.length ? next.selected : null];
    this.sendCommit();
    this.draw();
  }

  sendCommit() {
    this.serial += 1;
    this.send({ serial: this.serial, dragging: false, occluders: this.shapes });
  }

  // Send the current scene at once, or when DRAFT_INTERVAL has passed since the last one.
  sendDraft() {
    this.draftPending = Boolean(this.draftTimer);
    if (this.draftPending) return;
    this.send({ serial: this.serial, dragging: true, occluders: this.shapes });
    this.draftTimer = setTimeout(() => {
      this.draftTimer = null;
      if (this.draftPending) this.sendDraft();
    }, DRAFT_INTERVAL);
  }

  // --- pointer -----------------------------------------------------------------------------------------------------

  /**
   * Return the position of the pointer in pixels of the image.
   * @param {PointerEvent} event
   * @returns {[number, number]}
   */
  at(event) {
    const box = this.svg.getBoundingClientRect();
    const [width, height] = this.size;
    return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
  }

  startDrag(event) {
    if (event.button !== 0 || this.pointerDrag) return;
    const point = this.at(event);
    const handle = event.target.dataset?.handle;
    const index = Number(event.target.closest("[data-shape]")?.dataset.shape ?? -1);
    if (this.painting) {
      if (this.shapes.length >= this.data.maxOccluders) return;
      this.before = { shapes: this.shapes, selected: null };
      this.line = [toFractions(point, this.size)];
      this.shapes = [...this.shapes, { kind: "stroke", points: this.line, ...this.brush }];
      this.pointerDrag = { mode: "paint", pointer: event.pointerId, last: point };
      this.sendDraft();
    } else if (handle) {
      this.pointerDrag = { mode: handle, pointer: event.pointerId, shape: this.shapes[this.selected], from: point };
    } else if (index >= 0) {
      this.selected = index;
      this.pointerDrag = { mode: "move", pointer: event.pointerId, shape: this.shapes[index], from: point };
      this.layer.children[index].focus({ preventScroll: true });
    } else {
      this.selected = null;
    }
    if (this.pointerDrag) {
      this.svg.setPointerCapture(event.pointerId);
      event.preventDefault();
    }
    this.draw();
  }

  drag(event) {
    if (this.pointerDrag?.pointer !== event.pointerId) return;
    const { mode, shape, from } = this.pointerDrag;
    const point = this.at(event);
    const [dx, dy] = from ? [point[0] - from[0], point[1] - from[1]] : [0, 0];
    if (mode === "paint") this.extendStroke(point);
    else if (mode === "move") this.change(moveShape(shape, dx / this.size[0], dy / this.size[1]));
    else if (mode === "turn")
      this.change(
        rotateShape(
          shape,
          angleTo(point, shape, this.size) - angleTo(from, shape, this.size),
          this.size[1] / this.size[0],
        ),
      );
    else this.change(stretchShape(shape, mode, point, event.shiftKey, this.size));
  }

  extendStroke(point) {
    if (Math.hypot(point[0] - this.pointerDrag.last[0], point[1] - this.pointerDrag.last[1]) < 1.5) return;
    this.pointerDrag.last = point;
    this.line = [...this.line, toFractions(point, this.size)];
    const stroke = { ...this.shapes.at(-1), points: thinLine(this.line, this.data.maxPoints) };
    this.shapes = [...this.shapes.slice(0, -1), stroke];
    this.draw();
    this.sendDraft();
  }

  endDrag(event) {
    if (this.pointerDrag?.pointer !== event.pointerId) return;
    this.pointerDrag = null;
    this.release();
    this.draw();
  }

  // --- keyboard ----------------------------------------------------------------------------------------------------

  onEditorKey(event) {
    event.stopPropagation(); // Otherwise the page's keyboard shortcuts would react too.
    const key = event.key.toLowerCase();
    if (!(event.ctrlKey || event.metaKey) || (key !== "z" && key !== "y")) return;
    event.preventDefault();
    if (key === "y" || event.shiftKey) this.step(this.future, this.past);
    else this.step(this.past, this.future);
  }

  onShapeKey(event, index) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    this.selected = index;
    const shape = this.shapes[index];
    const [across, down] = STEPS[event.key] ?? [];
    const step = event.shiftKey ? 0.08 : 0.02;
    const ratio = this.size[0] / this.size[1];
    if (across !== undefined) this.change(moveShape(shape, across * step, down * step * ratio));
    else if (event.key === "+" || event.key === "=") this.change(scaleShape(shape, 1.1, 1.1));
    else if (event.key === "-" || event.key === "_") this.change(scaleShape(shape, 1 / 1.1, 1 / 1.1));
    else if (event.key === "r") this.change(rotateShape(shape, 15, 1 / ratio));
    else if (event.key === "R") this.change(rotateShape(shape, -15, 1 / ratio));
    else if (event.key === "PageUp" || event.key === "PageDown") this.reorder(event.key === "PageUp" ? 1 : -1);
    else if (event.key === "Delete" || event.key === "Backspace") this.remove();
    else if (event.key === "Escape") this.selected = null;
    else return;
    event.preventDefault();
    clearTimeout(this.keyTimer);
    this.keyTimer = setTimeout(() => this.release(), KEY_PAUSE);
    this.draw();
  }

  // --- drawing -----------------------------------------------------------------------------------------------------

  describe(index) {
    return describeShape(this.shapes[index], index, this.shapes.length);
  }

  drawAll() {
    if (!this.data) return;
    while (this.layer.children.length < this.shapes.length) this.layer.append(this.newShape());
    while (this.layer.children.length > this.shapes.length) this.layer.lastChild.remove();
    this.shapes.forEach((shape, index) => this.fill(this.layer.children[index], shape, index));
    const selected = this.layer.children[this.selected];
    drawHandles(
      this.over,
      selected && this.shapes[this.selected],
      this.size,
      this.svg.clientWidth,
      selected?.matches(":focus-visible"),
    );
    this.drawBars();
    const help = this.painting
      ? "Draw on the image. Press Draw again to stop."
      : "Drag a shape, its corners or its round handle. Keys: Tab select · arrows move · +/− resize · R rotate · PgUp/PgDn change order · Del remove";
    const text =
      this.selected !== null
        ? this.describe(this.selected)
        : this.shapes.length || this.painting
          ? help
          : "Add an occluder, or draw one.";
    if (this.description.textContent !== text) this.description.textContent = text;
    this.svg.setAttribute("aria-label", `Query with ${this.shapes.length} occluders`);
  }

  newShape() {
    const node = svgElement("g", { class: "shape", tabindex: "0", role: "button" });
    node.addEventListener("keydown", (event) => this.onShapeKey(event, Number(node.dataset.shape)));
    node.addEventListener("focus", () => {
      if (this.pointerDrag || this.painting) return;
      this.selected = Number(node.dataset.shape);
      this.draw();
    });
    return node;
  }

  fill(node, shape, index) {
    node.dataset.shape = index;
    node.setAttribute("aria-label", this.describe(index));
    node.setAttribute("aria-pressed", String(index === this.selected));
    fillShape(node, shape, this.size, this.data);
  }

  drawBars() {
    const shape = this.selected === null ? null : this.shapes[this.selected];
    const full = this.shapes.length >= this.data.maxOccluders;
    for (const node of this.adders) {
      node.disabled = full && !this.painting;
      if (node.dataset.act === "stroke") node.setAttribute("aria-pressed", String(this.painting));
    }
    this.table.classList.toggle("painting", this.painting);
    const { undo, redo, forward, back, remove, reset } = this.edits;
    undo.disabled = !this.past.length && !this.before;
    redo.disabled = !this.future.length;
    remove.disabled = !shape;
    forward.disabled = !shape || this.selected === this.shapes.length - 1;
    back.disabled = !shape || this.selected === 0;
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

/** @param {ComponentArgs<any>} args */
export default function ({ data, parentElement, setStateValue }) {
  const editor = viewOf(parentElement, (root) => new Editor(root));
  editor.send = (scene) => setStateValue("scene", scene);
  editor.receive(data);
}
