// An image with its patch grid: pointer and keyboard control, and labels for screen readers. Components that show
// patches include this file before their own script.

const HEAT = 0.62; // Opacity of a heat map over the image, the same as in explain/overlay.py.

/**
 * Return a share as a percentage.
 * @param {number} share
 * @param {number} [digits]
 */
const percent = (share, digits = 2) => `${(100 * share).toFixed(digits)} %`;

/**
 * Callbacks of a grid on which the pointer draws lines over patches: `start` and `extend` receive a patch, `end` is
 * called when the pointer is released, and `cancel` when the browser ends the drag, for example to scroll.
 * @typedef {{start: (index: number) => void, extend: (index: number) => void, end: () => void, cancel: () => void}} Strokes
 */

/** An image whose patches react to the pointer and the arrow keys, and can be picked by click, tap or Enter. */
class PatchGrid {
  /**
   * @param {string} name prefix of the ids of the cells
   * @param {object} on
   * @param {(index: number | null) => void} on.hover called when pointer or focus enters a patch; null when it leaves
   * @param {(index: number | null) => void} [on.pick] called with the picked patch, or null after Escape; `on.hover` by default
   * @param {Strokes} [on.strokes] if given, the pointer draws strokes, and only keys pick patches
   */
  constructor(name, { hover, pick, strokes }) {
    this.hover = hover;
    this.pick = pick ?? hover;
    this.keys = `Arrow keys move between patches${pick ? ", Enter pins, Escape unpins" : ""}.`;
    this.active = null;
    this.element = element("figure", "patches");
    this.image = element("img");
    this.canvas = element("canvas");
    this.cells = element("div", "cells");
    this.cells.tabIndex = 0;
    this.cells.setAttribute("role", "grid");
    this.cells.dataset.grid = name;
    this.element.append(this.image, this.canvas, this.cells);
    this.cells.addEventListener(
      "pointermove",
      (event) => event.pointerType !== "touch" && this.move(this.under(event)),
    );
    this.cells.addEventListener("pointerleave", (event) => event.pointerType !== "touch" && this.hover(null));
    if (strokes) this.followStrokes(strokes);
    else
      this.cells.addEventListener("click", (event) => {
        this.move(this.under(event));
        this.pick(this.active);
      });
    this.cells.addEventListener("keydown", (event) => this.key(event));
    this.cells.addEventListener("focus", () => this.cells.matches(":focus-visible") && this.move(this.active ?? 0));
    this.cells.addEventListener("blur", () => this.hover(null));
  }

  /**
   * Show an image.
   * @param {Geometry} geometry
   * @param {string} source data URI of the image
   * @param {string} alt alternative text of the image
   * @param {string[]} labels label of each patch
   */
  show(geometry, source, alt, labels) {
    if (this.geometry?.rows !== geometry.rows || this.geometry?.columns !== geometry.columns) this.build(geometry);
    this.geometry = geometry;
    if (this.image.src !== source) this.image.src = source;
    this.image.alt = alt;
    this.cells.setAttribute("aria-label", `Patches of ${alt}. ${this.keys}`);
    this.element.style.aspectRatio = `${geometry.width} / ${geometry.height}`;
    labels.forEach((label, index) => this.cell[index].setAttribute("aria-label", label));
  }

  build(geometry) {
    this.active = null;
    this.cell = Array.from({ length: geometry.count }, (_, index) => {
      const cell = element("span");
      cell.id = `${this.cells.dataset.grid}-${index}`;
      cell.setAttribute("role", "gridcell");
      return cell;
    });
    this.cells.replaceChildren(
      ...Array.from({ length: geometry.rows }, (_, row) => {
        const line = element("div");
        line.setAttribute("role", "row");
        line.append(...this.cell.slice(row * geometry.columns, (row + 1) * geometry.columns));
        return line;
      }),
    );
  }

  followStrokes({ start, extend, end, cancel }) {
    let pointer = null;
    const finish = (event, done) => {
      if (event.pointerId !== pointer) return;
      pointer = null;
      done();
    };
    this.cells.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || pointer !== null) return;
      pointer = event.pointerId;
      this.cells.setPointerCapture(pointer);
      this.move(this.under(event));
      start(this.active);
    });
    this.cells.addEventListener("pointermove", (event) => {
      if (event.pointerId === pointer && this.contains(event)) extend(this.under(event));
    });
    this.cells.addEventListener("pointerup", (event) => finish(event, end));
    this.cells.addEventListener("pointercancel", (event) => finish(event, cancel));
  }

  contains({ clientX, clientY }) {
    const { left, right, top, bottom } = this.cells.getBoundingClientRect();
    return clientX >= left && clientX <= right && clientY >= top && clientY <= bottom;
  }

  under(event) {
    const box = this.cells.getBoundingClientRect();
    return this.geometry.at(
      ((event.clientX - box.left) / box.width) * this.geometry.width,
      ((event.clientY - box.top) / box.height) * this.geometry.height,
    );
  }

  move(index) {
    this.active = index;
    this.cells.setAttribute("aria-activedescendant", this.cell[index].id);
    this.hover(index);
  }

  select(index) {
    this.cells.querySelector("[aria-selected=true]")?.removeAttribute("aria-selected");
    if (index !== null) this.cell[index].setAttribute("aria-selected", "true");
  }

  key(event) {
    const { columns, count } = this.geometry;
    const now = this.active ?? 0;
    const column = now % columns;
    const steps = {
      ArrowLeft: column > 0 ? -1 : 0,
      ArrowRight: column < columns - 1 ? 1 : 0,
      ArrowUp: now >= columns ? -columns : 0,
      ArrowDown: now + columns < count ? columns : 0,
      Home: -column,
      End: columns - 1 - column,
    };
    if (event.key in steps) this.move(now + steps[event.key]);
    else if (event.key === "Enter" || event.key === " ") this.pick(now);
    else if (event.key === "Escape") this.pick(null);
    else return;
    event.preventDefault();
    event.stopPropagation(); // On the Learn page, arrow keys outside the grid change the step.
  }

  // Clear the canvas and return a context that draws in pixels of the model's input.
  context() {
    return sharpContext(
      this.canvas,
      this.element.clientWidth,
      this.element.clientHeight,
      this.element.clientWidth / this.geometry.width,
    );
  }

  fill(context, colour) {
    fillPatches(context, this.geometry, colour);
  }

  markDropped(context, isDropped) {
    markDropped(context, this.geometry, isDropped);
  }
}

/**
 * Fill every patch with the colour that `colour(index)` returns; null leaves a patch unchanged. Cells are rounded to
 * whole pixels of the screen, because half-filled pixels would show as seams between neighbours.
 * @param {CanvasRenderingContext2D} context
 * @param {Geometry} geometry
 * @param {(index: number) => string | null} colour
 */
function fillPatches(context, geometry, colour) {
  const { a: scale } = context.getTransform();
  context.save();
  context.resetTransform();
  for (let index = 0; index < geometry.count; index += 1) {
    const value = colour(index);
    if (value === null) continue;
    const [x, y, width, height] = geometry.cell(index);
    const [left, top, right, bottom] = [x, y, x + width, y + height].map((edge) => Math.round(edge * scale));
    context.fillStyle = value;
    context.fillRect(left, top, right - left, bottom - top);
  }
  context.restore();
}

/**
 * Clear a canvas of `width` x `height` CSS pixels and return a 2D context with the resolution of the screen.
 * @param {HTMLCanvasElement} canvas
 * @param {number} width
 * @param {number} height
 * @param {number} scale CSS pixels per unit of the drawing
 */
function sharpContext(canvas, width, height, scale) {
  const ratio = window.devicePixelRatio || 1;
  const context = canvas.getContext("2d");
  const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== across || canvas.height !== down) {
    canvas.width = across;
    canvas.height = down;
  }
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, across, down);
  context.setTransform(ratio * scale, 0, 0, ratio * scale, 0, 0);
  return context;
}

/**
 * Outline a box with a dark and a coloured line, which are visible on any image and in both themes.
 * @param {CanvasRenderingContext2D} context
 * @param {number[]} box x, y, width and height
 * @param {string} colour
 * @param {number} thick
 */
function ring(context, [x, y, width, height], colour, thick) {
  context.lineWidth = 2 * thick;
  context.strokeStyle = "rgba(0, 0, 0, 0.75)";
  context.strokeRect(x, y, width, height);
  context.lineWidth = thick;
  context.strokeStyle = colour;
  context.strokeRect(x, y, width, height);
}

/**
 * Create a checkbox with a label.
 * @param {string} text text of the label
 * @param {string} name
 * @param {boolean} checked
 * @param {() => void} change called when the visitor changes the checkbox
 */
function checkbox(text, name, checked, change) {
  const label = element("label", "check");
  const box = element("input");
  box.type = "checkbox";
  box.name = name;
  box.checked = checked;
  box.addEventListener("change", change);
  label.append(box, element("span", "", text));
  return { label, box };
}
