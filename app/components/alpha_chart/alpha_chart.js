// Chart of D (Eq. 10) against alpha: a straight line for every shortlisted image, and a ring at every exact swap of two
// of the first ranks. A press sets alpha (on a ring exactly to the swap). Dragging and the arrow keys change alpha.
const MARGIN = { left: 44, right: 12, top: 26, bottom: 40 };
// Height of the chart in pixels, small enough for a step of the lesson on a projector.
const HEIGHT = Math.max(260, Math.min(340, Math.round(0.42 * window.innerHeight)));
const HIT_RADIUS = 9; // Maximum distance in pixels at which a press counts as on a ring or line.
const STEP = 0.01; // Change of alpha by an arrow key.

function append(parent, tag, attributes, text) {
  const node = svgElement(tag, attributes, text);
  parent.append(node);
  return node;
}

const distanceAt = (match, position, alpha) => (1 - alpha) * match.dCos[position] + alpha * match.dEmd[position];

/**
 * Return the range of D that covers the first `top` ranks at any alpha, with some padding. The lowest D is concave in
 * alpha, so its minimum is at alpha 0 or 1.
 * @param {Pick<LiveMatch, "dCos" | "dEmd">} match
 * @param {number[]} positions
 * @param {number} top
 */
function distanceRange(match, positions, top) {
  const sorted = (alpha) => positions.map((position) => distanceAt(match, position, alpha)).sort((a, b) => a - b);
  const all = Array.from({ length: 21 }, (_, step) => sorted(step / 20));
  const low = Math.min(...all.map((values) => values[0]));
  const high = Math.max(...all.map((values) => values[Math.min(top, values.length) - 1]));
  const pad = Math.max(high - low, 1e-3) * 0.06;
  return [low - pad, high + pad];
}

/**
 * Return about four round numbers between two values.
 * @param {number} low
 * @param {number} high
 */
function ticks(low, high) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((size) => size >= rough);
  const out = [];
  for (let at = Math.ceil(low / step) * step; at <= high; at += step) out.push(Number(at.toFixed(6)));
  return out;
}

function draw(root, match, data, width) {
  const svg = root.querySelector("svg");
  svg.replaceChildren();
  setAttributes(svg, { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT });
  const shown = [...match.indices.keys()].filter(
    (position) => data.junk || live.person(match.indices[position]).tone !== "junk",
  );
  const [low, high] = distanceRange(match, shown, data.top);
  const right = width - MARGIN.right;
  const bottom = HEIGHT - MARGIN.bottom;
  const x = (alpha) => MARGIN.left + alpha * (right - MARGIN.left);
  const y = (d) => bottom - ((d - low) / (high - low)) * (bottom - MARGIN.top);
  for (const at of [0, 0.2, 0.4, 0.6, 0.8, 1]) {
    append(svg, "line", { class: "grid", x1: x(at), x2: x(at), y1: MARGIN.top, y2: bottom });
    append(svg, "text", { class: "tick", x: x(at), y: bottom + 16, "text-anchor": "middle" }, String(at));
  }
  for (const at of ticks(low, high)) {
    append(svg, "line", { class: "grid", x1: x(0), x2: x(1), y1: y(at), y2: y(at) });
    append(svg, "text", { class: "tick", x: MARGIN.left - 6, y: y(at) + 4, "text-anchor": "end" }, String(at));
  }
  append(
    svg,
    "text",
    { class: "axis", x: x(0.5), y: HEIGHT - 4, "text-anchor": "middle" },
    "α: 0 = cosine only, 1 = EMD only",
  );
  append(svg, "text", { class: "axis", x: 4, y: MARGIN.top - 10 }, "D");
  const clip = append(append(svg, "clipPath", { id: "plot" }), "rect", {
    x: x(0),
    y: MARGIN.top,
    width: right - x(0),
    height: bottom - MARGIN.top,
  });
  clip.parentElement.setAttribute("clipPathUnits", "userSpaceOnUse");
  const plot = append(svg, "g", { "clip-path": "url(#plot)" });
  const lines = new Map();
  for (const position of [...shown].reverse()) {
    const row = match.indices[position];
    const { tone } = live.person(row);
    lines.set(position, {
      tone,
      node: append(plot, "line", {
        x1: x(0),
        x2: x(1),
        y1: y(match.dCos[position]),
        y2: y(match.dEmd[position]),
        "data-row": row,
      }),
    });
  }
  const rings = match.swaps
    .filter(([, one, other]) => lines.has(one) && lines.has(other))
    .map(([alpha, one, other]) => ({ alpha, one, other, x: x(alpha), y: y(distanceAt(match, one, alpha)) }));
  for (const ring of rings)
    append(plot, "circle", { class: "ring", cx: ring.x, cy: ring.y, r: 4.5, "data-alpha": ring.alpha });
  const tones = new Set([...lines.values()].map((line) => line.tone));
  for (const tone of ["match", "other", "junk", "neutral"])
    root.querySelector(`.legend .${tone}`).hidden = !tones.has(tone);
  const cursor = append(svg, "line", { class: "cursor", y1: MARGIN.top, y2: bottom });
  const label = append(svg, "text", { class: "label", y: MARGIN.top - 10, "text-anchor": "middle" });
  const dots = append(svg, "g", { "clip-path": "url(#plot)" });
  root.drawn = { match, data, width, x, y, right, lines, rings, cursor, label, dots };
}

// Update everything that depends on alpha: the cursor, the classes of the lines, and a dot on each of the first ranks.
function updateCursor(root, data) {
  const { match, x, y, right, lines, cursor, label, dots } = root.drawn;
  const { alpha } = live.view;
  const first = byDistance(match, alpha)
    .filter((position) => lines.has(position))
    .slice(0, data.top);
  const near = new Set(first);
  for (const [position, { tone, node }] of lines) {
    const chosen = match.indices[position] === data.chosen;
    const name = `${tone}${near.has(position) ? " near" : ""}${chosen ? " chosen" : ""}${position === root.hovered ? " hovered" : ""}`;
    if (node.getAttribute("class") !== name) node.setAttribute("class", name);
  }
  setAttributes(cursor, { x1: x(alpha), x2: x(alpha) });
  label.textContent = `α = ${Number(alpha.toFixed(3))}`;
  label.setAttribute("x", Math.min(right - 24, Math.max(MARGIN.left + 24, x(alpha))));
  while (dots.children.length < first.length) append(dots, "circle", { r: 3.2 });
  while (dots.children.length > first.length) dots.lastChild.remove();
  first.forEach((position, rank) => {
    setAttributes(dots.children[rank], {
      cx: x(alpha),
      cy: y(distanceAt(match, position, alpha)),
      class: lines.get(position).tone,
    });
  });
  const firstMatch = first.findIndex((position) => lines.get(position).tone === "match") + 1;
  const state = firstMatch
    ? `first correct match at rank ${firstMatch}`
    : `no correct match in the top ${first.length}`;
  const known = first.some((position) => lines.get(position).tone !== "neutral");
  setAttributes(root.querySelector("svg"), {
    "aria-valuenow": alpha,
    "aria-valuetext": `α ${Number(alpha.toFixed(3))}${known ? `, ${state}` : ""}`,
  });
  const readout = root.querySelector(".readout");
  readout.textContent =
    root.hovered === undefined || !lines.has(root.hovered)
      ? known
        ? `At α = ${Number(alpha.toFixed(3))}: ${state}.`
        : ""
      : `${live.person(match.indices[root.hovered]).about}: D ${distanceAt(match, root.hovered, alpha).toFixed(3)} at α = ${Number(alpha.toFixed(3))}`;
}

function pointAt(root, event) {
  const { match, right, lines, rings, y } = root.drawn;
  const box = root.querySelector("svg").getBoundingClientRect();
  const at = { x: event.clientX - box.left, y: event.clientY - box.top };
  const share = Math.min(1, Math.max(0, (at.x - MARGIN.left) / (right - MARGIN.left)));
  const distance = (ring) => Math.hypot(ring.x - at.x, ring.y - at.y);
  const ring = rings
    .filter((candidate) => distance(candidate) <= HIT_RADIUS)
    .sort((one, other) => distance(one) - distance(other))[0];
  const gap = (position) => Math.abs(y(distanceAt(match, position, share)) - at.y);
  const line = [...lines.keys()]
    .filter((position) => gap(position) <= HIT_RADIUS)
    .sort((one, other) => gap(one) - gap(other))[0];
  return { alpha: ring ? ring.alpha : Number((Math.round(share / STEP) * STEP).toFixed(4)), line };
}

function addListeners(root) {
  const svg = root.querySelector("svg");
  svg.addEventListener("pointerdown", (event) => {
    if (!root.drawn || event.button !== 0) return;
    svg.setPointerCapture(event.pointerId);
    root.dragStart = { alpha: live.view.alpha };
    live.isDragging = true;
    live.preview({ alpha: pointAt(root, event).alpha });
  });
  svg.addEventListener("pointermove", (event) => {
    if (!root.drawn) return;
    const { alpha, line } = pointAt(root, event);
    root.hovered = line;
    if (root.dragStart) live.preview({ alpha });
    else live.changed();
  });
  svg.addEventListener("pointerup", () => {
    if (root.dragStart) live.commit();
    root.dragStart = null;
  });
  svg.addEventListener("pointercancel", () => {
    if (!root.dragStart) return;
    live.preview(root.dragStart); // The touch scrolls the page instead, so alpha is restored.
    root.dragStart = null;
    live.isDragging = false;
  });
  svg.addEventListener("pointerleave", () => {
    root.hovered = undefined;
    live.changed();
  });
  svg.addEventListener("keydown", (event) => {
    if (!root.drawn) return;
    const { alpha } = live.view;
    const swaps = root.drawn.rings.map((ring) => ring.alpha);
    const moves = {
      ArrowRight: () => Math.min(1, alpha + STEP),
      ArrowUp: () => Math.min(1, alpha + STEP),
      ArrowLeft: () => Math.max(0, alpha - STEP),
      ArrowDown: () => Math.max(0, alpha - STEP),
      PageUp: () => swaps.find((swap) => swap > alpha) ?? alpha,
      PageDown: () => swaps.findLast((swap) => swap < alpha) ?? alpha,
      Home: () => 0,
      End: () => 1,
    };
    if (!(event.key in moves)) return;
    event.preventDefault();
    event.stopPropagation();
    const next = moves[event.key]();
    live.setFromKeyboard({ alpha: event.key.startsWith("Arrow") ? Number(next.toFixed(4)) : next });
  });
}

/** @param {ComponentArgs<{top: number, junk: boolean, chosen: number}>} args */
export default function ({ data, parentElement }) {
  /** @type {Host} */
  const root = parentElement.querySelector(".alpha-chart");
  if (!root.observer) {
    if (!root.listening) addListeners(root);
    root.listening = true;
    root.observer = new ResizeObserver(([entry]) => {
      root.width = Math.floor(entry.contentRect.width);
      live.changed();
    });
    root.observer.observe(root);
  }
  live.follow(root, () => {
    const match = live.match();
    const { width } = root; // Set by the observer, because measuring here would force the browser to lay out the page.
    root.classList.toggle("stale", !match);
    if (!match || !width) return;
    if (root.drawn?.match !== match || root.drawn.data !== data || root.drawn.width !== width)
      draw(root, match, data, width);
    updateCursor(root, data);
  });
  live.changed();
  return () => {
    root.observer.disconnect();
    root.observer = null;
    live.unfollow(root);
  };
}
