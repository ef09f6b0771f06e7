// A tour of the page. The ring and the card are popovers, which the browser draws above everything else.

/** @typedef {{title: string, text: string, selector: string}} TourStep */

const GAP = 10; // Pixels between the ring, the card and the edges of the window.

/**
 * Return the position of the card: below or above its target if it fits there, otherwise beside it, inside the window.
 * @param {{left: number, top: number, right: number, bottom: number}} target
 * @param {{width: number, height: number}} card
 * @param {{width: number, height: number}} view
 * @returns {[number, number]} left and top in pixels
 */
function cardPlace(target, card, view) {
  const clamp = (/** @type {number} */ value, /** @type {number} */ high) => Math.max(GAP, Math.min(value, high - GAP));
  const left = clamp(target.left, view.width - card.width);
  if (target.bottom + 2 * GAP + card.height <= view.height) return [left, target.bottom + GAP];
  if (target.top - 2 * GAP - card.height >= 0) return [left, target.top - GAP - card.height];
  const beside =
    target.right + 2 * GAP + card.width <= view.width ? target.right + GAP : target.left - GAP - card.width;
  return [clamp(beside, view.width - card.width), clamp(target.top, view.height - card.height)];
}

class Tour {
  /** @type {TourStep[]} */
  steps = [];
  at = -1;

  /** @param {HTMLElement} parent */
  constructor(parent) {
    /** @type {HTMLElement} */
    this.start = parent.querySelector(".start");
    /** @type {HTMLElement} */
    this.ring = parent.querySelector(".ring");
    /** @type {HTMLElement} */
    this.card = parent.querySelector(".step");
    this.start.addEventListener("click", () => this.show(0));
    // Shortcuts of the page do not apply during the tour, wherever the focus is.
    this.onKey = (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Escape") this.end();
      else if (event.key.length === 1) event.stopPropagation();
    };
    this.follow = oncePerFrame(() => this.place());
  }

  /** @param {number} at number of the step, from 0; the tour ends after the last one */
  show(at) {
    const step = this.steps[at];
    if (!step) return this.end();
    this.at = at;
    const last = at === this.steps.length - 1;
    const next = element("button", "next", last ? "Done" : "Next");
    next.addEventListener("click", () => this.show(at + 1));
    const buttons = element("div", "buttons");
    buttons.append(element("span", "count", `${at + 1} of ${this.steps.length}`));
    if (!last) {
      const skip = element("button", "skip", "Skip");
      skip.addEventListener("click", () => this.end());
      buttons.append(skip);
    }
    buttons.append(next);
    this.card.replaceChildren(element("div", "title", step.title), element("p", "", step.text), buttons);
    for (const part of [this.ring, this.card]) part.showPopover();
    document.querySelector(step.selector)?.scrollIntoView({ block: "nearest" });
    this.place();
    next.focus();
    window.addEventListener("keydown", this.onKey, true);
    window.addEventListener("resize", this.follow);
    window.addEventListener("scroll", this.follow, true);
  }

  place() {
    const target = document.querySelector(this.steps[this.at]?.selector ?? "none");
    if (!target) return;
    const box = target.getBoundingClientRect();
    const ring = { left: box.left - 4, top: box.top - 4, width: box.width + 8, height: box.height + 8 };
    for (const [name, value] of Object.entries(ring)) this.ring.style[name] = `${value}px`;
    const view = { width: window.innerWidth, height: window.innerHeight };
    const [left, top] = cardPlace(box, { width: this.card.offsetWidth, height: this.card.offsetHeight }, view);
    this.card.style.left = `${left}px`;
    this.card.style.top = `${top}px`;
  }

  end() {
    this.at = -1;
    for (const part of [this.ring, this.card]) part.hidePopover();
    this.stopFollowing();
    this.start.focus();
  }

  stopFollowing() {
    window.removeEventListener("keydown", this.onKey, true);
    window.removeEventListener("resize", this.follow);
    window.removeEventListener("scroll", this.follow, true);
  }
}

const tours = new WeakMap();

/** @param {ComponentArgs<{steps: TourStep[]}>} args */
export default function ({ data, parentElement }) {
  const start = parentElement.querySelector(".start");
  if (!tours.has(start)) tours.set(start, new Tour(parentElement));
  tours.get(start).steps = data.steps;
  return () => tours.get(start).stopFollowing();
}
