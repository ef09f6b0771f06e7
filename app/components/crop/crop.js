// Boxes on a preview of the visitor's photo. The browser stores them until the visitor has decided, and then sends them
// with the decision by `setTriggerValue("done", {action, boxes})`.
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const CORNERS = ["nw", "ne", "sw", "se"];
const TAP = 6; // Maximum distance in CSS pixels between press and release of a tap.
const GROWTH = 1.08; // Factor by which Larger and Smaller scale a box.
const ZOOMS = [1, 1.5, 2, 3, 4];
const HELP = "Click or tap a person to add a box, or draw one. Drag a box or its corners to fit.";
const KEYS = "Keys: Tab select · arrows move, Shift farther · +/− resize · Del remove.";

class CropTool {
  /** @type {(choice: {action: string, boxes: number[][]}) => void} sends the decision to the server */
  send;
  /** @type {Box[]} */
  boxes = [];
  /** @type {number | null} index of the selected box */
  selected = null;
  zoom = 0;
  busy = false;

  /** @param {Host} root */
  constructor(root) {
    this.root = root;
    this.draw = oncePerFrame(() => this.drawAll());
    this.build();
    root.addEventListener("keydown", (event) => {
      // The page's shortcuts must not react. Escape still closes the dialog, and Tab still moves the focus.
      if (event.key !== "Escape" && event.key !== "Tab") event.stopPropagation();
    });
  }

  build() {
    this.stage = element("div", "stage");
    this.picture = Object.assign(element("img"), { draggable: false, alt: "Your photo" });
    this.shade = svgElement("svg", { class: "shade", preserveAspectRatio: "none", "aria-hidden": "true" });
    this.layer = element("div", "boxes");
    this.stage.append(this.picture, this.shade, this.layer);
    this.stage.addEventListener("pointerdown", (event) => this.startDrag(event));
    this.stage.addEventListener("pointermove", (event) => this.drag(event));
    this.stage.addEventListener("pointerup", (event) => this.endDrag(event, true));
    this.stage.addEventListener("pointercancel", (event) => this.endDrag(event, false));
    this.view = element("div", "view");
    this.view.append(this.stage);
    this.description = element("p", "description");
    this.description.setAttribute("role", "status");
    this.tools = {
      add: this.button("add", "Add box", () => this.insert(anotherBox(this.boxes, this.photo), true)),
      remove: this.button("remove", "Remove", () => this.remove()),
      smaller: this.button("smaller", "Smaller", () => this.scale(1 / GROWTH)),
      larger: this.button("larger", "Larger", () => this.scale(GROWTH)),
      out: this.button("out", "Zoom out", () => this.zoomBy(-1)),
      in: this.button("in", "Zoom in", () => this.zoomBy(1)),
    };
    this.actions = {
      queries: this.button("queries", "", () => this.decide("queries")),
      gallery: this.button("gallery", "Add as gallery", () => this.decide("gallery")),
      whole: this.button("whole", "Use the whole image", () => this.decide("whole")),
      cancel: this.button("cancel", "Cancel", () => this.decide("cancel")),
    };
    this.actions.queries.classList.add("primary");
    this.note = element("p", "note");
    const [tools, actions] = [element("div", "bar"), element("div", "bar actions")];
    tools.setAttribute("role", "group");
    tools.setAttribute("aria-label", "Boxes");
    tools.append(...Object.values(this.tools));
    actions.append(...Object.values(this.actions));
    const help = element("p", "note", HELP);
    help.append(element("span", "keys", ` ${KEYS}`));
    this.root.replaceChildren(this.view, this.description, tools, help, actions, this.note);
  }

  button(name, text, act) {
    const node = element("button", "", text);
    node.type = "button";
    node.dataset.act = name;
    node.addEventListener("click", act);
    return node;
  }

  receive(data) {
    const first = this.data === undefined;
    if (data.answer !== this.data?.answer) this.busy = false; // The server has refused the last decision.
    this.data = data;
    if (first) {
      /** @type {Photo} */
      this.photo = data.photo;
      this.picture.src = data.image;
      this.shade.setAttribute("viewBox", `0 0 ${this.photo.width} ${this.photo.height}`);
      this.root.style.setProperty("--shape", `${this.photo.width} / ${this.photo.height}`);
      this.root.style.setProperty("--proportion", String(this.photo.width / this.photo.height));
      this.insert(anotherBox([], this.photo), false);
    }
    this.draw();
  }

  // --- boxes -------------------------------------------------------------------------------------------------------

  insert(box, focus) {
    if (this.busy || this.boxes.length >= this.data.maxBoxes) return;
    this.boxes = [...this.boxes, box];
    this.select(this.boxes.length - 1, focus);
  }

  select(index, focus = false) {
    this.selected = index;
    this.draw();
    if (focus)
      requestAnimationFrame(() =>
        requestAnimationFrame(() => this.layer.children[index]?.focus({ preventScroll: true })),
      );
  }

  change(box) {
    this.boxes = this.boxes.map((old, index) => (index === this.selected ? box : old));
    this.draw();
  }

  scale(factor) {
    if (this.selected !== null) this.change(scaleBox(this.boxes[this.selected], factor, this.photo));
  }

  remove() {
    if (this.selected === null || this.busy) return;
    this.boxes = this.boxes.filter((_, index) => index !== this.selected);
    if (this.boxes.length) return this.select(Math.min(this.selected, this.boxes.length - 1), true);
    this.selected = null;
    this.draw();
    this.tools.add.focus();
  }

  decide(action) {
    if (this.busy) return;
    this.busy = true;
    this.draw();
    this.send({ action, boxes: this.boxes.map(({ left, top, width, height }) => [left, top, width, height]) });
  }

  zoomBy(steps) {
    const { scrollLeft, scrollTop, clientWidth, clientHeight, scrollWidth, scrollHeight } = this.view;
    const box = this.boxes[this.selected];
    const centre = box
      ? [(box.left + box.width / 2) / this.photo.width, (box.top + box.height / 2) / this.photo.height]
      : [(scrollLeft + clientWidth / 2) / scrollWidth, (scrollTop + clientHeight / 2) / scrollHeight];
    this.zoom = clampTo(this.zoom + steps, 0, ZOOMS.length - 1);
    this.root.style.setProperty("--zoom", String(ZOOMS[this.zoom]));
    this.view.classList.toggle("zoomed", this.zoom > 0); // Only a zoomed photo scrolls.
    this.view.scrollTo(
      centre[0] * this.view.scrollWidth - this.view.clientWidth / 2,
      centre[1] * this.view.scrollHeight - this.view.clientHeight / 2,
    );
    this.draw();
  }

  // --- pointer -----------------------------------------------------------------------------------------------------

  /**
   * Return the position of the pointer in pixels of the photo.
   * @param {PointerEvent} event
   * @returns {[number, number]}
   */
  at(event) {
    const area = this.stage.getBoundingClientRect();
    const [x, y] = [(event.clientX - area.left) / area.width, (event.clientY - area.top) / area.height];
    return [clampTo(x, 0, 1) * this.photo.width, clampTo(y, 0, 1) * this.photo.height];
  }

  startDrag(event) {
    if (event.button !== 0 || this.dragged || this.busy) return;
    const target = /** @type {Element} */ (event.composedPath()[0]);
    const corner = /** @type {HTMLElement} */ (target).dataset?.corner;
    const index = this.boxes.length ? Number(/** @type {any} */ (target.closest("[data-box]"))?.dataset.box ?? -1) : -1;
    const mode = corner ? "stretch" : index >= 0 ? "move" : this.zoom ? "pan" : "draw";
    if (index >= 0) {
      this.select(index);
      this.layer.children[index].focus({ preventScroll: true });
    }
    this.dragged = {
      mode,
      corner,
      pointer: event.pointerId,
      from: this.at(event),
      start: [event.clientX, event.clientY],
      scroll: [this.view.scrollLeft, this.view.scrollTop],
      box: this.boxes[index],
      far: false,
    };
    this.stage.setPointerCapture(event.pointerId);
    event.preventDefault();
  }

  drag(event) {
    const dragged = this.dragged;
    if (dragged?.pointer !== event.pointerId) return;
    const [dx, dy] = [event.clientX - dragged.start[0], event.clientY - dragged.start[1]];
    const began = !dragged.far && Math.hypot(dx, dy) > TAP;
    dragged.far ||= began;
    if (!dragged.far) return;
    const point = this.at(event);
    if (dragged.mode === "pan") this.view.scrollTo(dragged.scroll[0] - dx, dragged.scroll[1] - dy);
    else if (dragged.mode === "move")
      this.change(moveBox(dragged.box, point[0] - dragged.from[0], point[1] - dragged.from[1], this.photo));
    else if (dragged.mode === "stretch") this.change(stretchBox(dragged.box, dragged.corner, point, this.photo));
    else this.drawNew(drawnBox(dragged.from, point, this.photo), began);
  }

  drawNew(box, began) {
    if (!began && this.dragged.added) this.change(box);
    if (!began) return;
    this.dragged.added = this.boxes.length < this.data.maxBoxes;
    this.insert(box, false);
  }

  endDrag(event, released) {
    const dragged = this.dragged;
    if (dragged?.pointer !== event.pointerId) return;
    this.dragged = null;
    const tapped = released && !dragged.far && (dragged.mode === "draw" || dragged.mode === "pan");
    const height = this.boxes.at(-1)?.height ?? 0.8 * this.photo.largest;
    if (tapped) this.insert(centredBox(...dragged.from, height, this.photo), true);
    else if (dragged.added) this.select(this.selected, true);
    this.draw();
  }

  // --- keyboard ----------------------------------------------------------------------------------------------------

  onBoxKey(event, index) {
    if (event.ctrlKey || event.metaKey || event.altKey || this.busy) return;
    this.selected = index;
    const step = Math.max(1, Math.round(Math.max(this.photo.width, this.photo.height) / (event.shiftKey ? 25 : 200)));
    const [across, down] = ARROWS[event.key] ?? [];
    if (across !== undefined) this.change(moveBox(this.boxes[index], across * step, down * step, this.photo));
    else if (event.key === "+" || event.key === "=") this.scale(GROWTH);
    else if (event.key === "-" || event.key === "_") this.scale(1 / GROWTH);
    else if (event.key === "Delete" || event.key === "Backspace") this.remove();
    else return;
    event.preventDefault();
  }

  // --- drawing -----------------------------------------------------------------------------------------------------

  drawAll() {
    if (!this.data) return;
    while (this.layer.children.length < this.boxes.length) this.layer.append(this.newBox());
    while (this.layer.children.length > this.boxes.length) this.layer.lastChild.remove();
    this.boxes.forEach((box, index) => this.place(this.layer.children[index], box, index));
    this.drawShade();
    const count = this.boxes.length;
    const chosen = this.selected === null ? undefined : this.boxes[this.selected];
    const full = count >= this.data.maxBoxes ? ` · the maximum is ${count} boxes` : "";
    const where = chosen ? describeBox(chosen, this.selected, count) + full : "No box yet.";
    const text = this.busy ? "Processing …" : where;
    if (this.description.textContent !== text) this.description.textContent = text;
    this.actions.queries.textContent = count > 1 ? `Use as ${count} queries` : "Use as query";
    this.actions.gallery.title = "Search only these people until you reload or close the page";
    this.note.textContent = this.data.whole;
    const { add, remove, smaller, larger, out, in: zoomIn } = this.tools;
    add.disabled = this.busy || count >= this.data.maxBoxes;
    for (const node of [remove, smaller, larger]) node.disabled = this.busy || !chosen;
    out.disabled = !this.zoom;
    zoomIn.disabled = this.zoom === ZOOMS.length - 1;
    for (const node of [this.actions.queries, this.actions.gallery]) node.disabled = this.busy || !count;
    this.actions.whole.disabled = this.actions.cancel.disabled = this.busy;
  }

  newBox() {
    const node = element("div", "box");
    setAttributes(node, { tabindex: 0, role: "application", "aria-roledescription": "crop box" });
    const number = element("span", "number");
    number.setAttribute("aria-hidden", "true");
    node.append(
      number,
      ...CORNERS.map((corner) => {
        const handle = element("span", `handle ${corner}`);
        handle.dataset.corner = corner;
        return handle;
      }),
    );
    node.addEventListener("keydown", (event) => this.onBoxKey(event, Number(node.dataset.box)));
    node.addEventListener("focus", () => {
      if (this.dragged) return;
      this.select(Number(node.dataset.box));
      node.scrollIntoView({ block: "nearest", inline: "nearest" });
    });
    return node;
  }

  place(node, box, index) {
    node.dataset.box = index;
    node.setAttribute("aria-label", describeBox(box, index, this.boxes.length));
    node.classList.toggle("selected", index === this.selected);
    node.firstChild.textContent = index + 1;
    const { width, height } = this.photo;
    Object.assign(node.style, {
      left: `${(100 * box.left) / width}%`,
      top: `${(100 * box.top) / height}%`,
      width: `${(100 * box.width) / width}%`,
      height: `${(100 * box.height) / height}%`,
    });
  }

  drawShade() {
    const { width, height } = this.photo;
    const rectangle = (box, fill) =>
      svgElement("rect", { x: box.left, y: box.top, width: box.width, height: box.height, fill });
    const whole = { left: 0, top: 0, width, height };
    const mask = svgElement("mask", { id: "fpc-crop-outside" });
    mask.append(rectangle(whole, "#fff"), ...this.boxes.map((box) => rectangle(box, "#000")));
    const dark = rectangle(whole, "rgba(0, 0, 0, 0.5)");
    dark.setAttribute("mask", "url(#fpc-crop-outside)");
    this.shade.replaceChildren(mask, dark);
  }
}

/** @param {ComponentArgs<any>} args */
export default function ({ data, parentElement, setTriggerValue }) {
  const tool = viewOf(parentElement, (root) => new CropTool(root));
  tool.send = (choice) => repeatUntilAnswered(tool.root, () => setTriggerValue("done", choice));
  if (tool.data && tool.data.answer !== data.answer) clearTimeout(tool.root.timer);
  tool.receive(data);
  return () => clearTimeout(tool.root.timer);
}
