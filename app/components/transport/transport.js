// A transport plan between two patch grids. `TransportView.show` draws a pair and can be called again with another one.
// A pair is {kept, plan, cost, queryMarginal, galleryMarginal, dEmd}; plan and cost are Float32Array of size
// kept.length x patches.

class TransportView {
  /** @type {(pin: string) => void} sends the pinned patch to the server, empty for none */
  onPin;
  /** @type {any} the pair that was drawn last */
  shown = null;

  constructor(root) {
    this.root = root;
    root.className = "transport";
    this.hovered = this.pinned = null;
    this.draw = oncePerFrame(() => this.drawHovered());
    this.redraw = oncePerFrame(() => this.drawAll());
    this.grids = { q: this.grid("query", "q"), g: this.grid("gallery", "g") };
    this.stage = element("div", "stage");
    this.flows = element("canvas");
    this.over = element("canvas");
    this.stage.append(this.grids.q.element, this.grids.g.element, this.flows, this.over);
    this.distance = element("p", "distance");
    this.names = [element("span"), element("span")];
    const names = element("div", "names");
    names.append(...this.names);
    this.description = element("p", "description");
    this.description.setAttribute("role", "status");
    this.sum = element("div", "faint sum");
    this.costBar = colourBar(VIRIDIS);
    this.weightBar = colourBar(VIRIDIS);
    root.replaceChildren(
      this.distance,
      names,
      this.stage,
      this.description,
      this.costBar.node,
      this.weightBar.node,
      this.tools(),
      this.threshold,
      this.sum,
    );
    new ResizeObserver(this.redraw).observe(this.stage);
  }

  grid(name, side) {
    return new PatchGrid(name, {
      hover: (index) => {
        this.hovered = index === null ? null : { side, index };
        this.draw();
      },
      pick: (index) => this.setPin(index === null || this.isPinned(side, index) ? null : { side, index }, true),
    });
  }

  tools() {
    const tools = element("div", "tools");
    /** @type {[string, string, boolean][]} */
    const switches = [
      ["dimmed", "Mark dropped patches", true],
      ["all", "Show all flows above a threshold", true],
      ["targets", "Show average target of each patch", false],
      ["weights", "Show patch weights", false],
    ];
    this.on = {};
    for (const [name, text, checked] of switches) {
      const { label, box } = checkbox(text, name, checked, this.redraw);
      this.on[name] = box;
      tools.append(label);
    }
    this.threshold = element("label", "threshold");
    this.slider = element("input");
    Object.assign(this.slider, { type: "range", min: 0, max: 100, value: 15 });
    this.slider.setAttribute("aria-label", "Threshold of all flows");
    this.slider.addEventListener("input", this.redraw);
    this.flowCount = element("span", "faint");
    this.threshold.append(this.slider, this.flowCount);
    return tools;
  }

  setImages(geometry, pictures, names) {
    this.geometry = geometry;
    this.imageSources = pictures;
    this.names.forEach((node, at) => (node.textContent = names[at]));
    this.labels = names;
  }

  /**
   * Replace the pair that is drawn.
   * @param {any} pair as returned by `unpack`
   */
  show(pair) {
    this.pair = pair;
    this.totals = totals(pair, this.geometry);
    this.range = costRange(pair, this.totals.mass);
    this.heaviest = null;
    this.costBar.set("ground cost (1 − cosine)", this.range[0].toFixed(2), `${this.range[1].toFixed(2)} or more`);
    const top = Math.max(...pair.queryMarginal, ...pair.galleryMarginal);
    this.weightTop = top;
    this.weightBar.set("patch weight", "0", percent(top));
    this.sum.textContent = sumText(this.totals, pair.dEmd);
    this.weightOf = { q: new Float32Array(this.geometry.count).fill(NaN), g: pair.galleryMarginal };
    pair.kept.forEach((position, row) => (this.weightOf.q[position] = pair.queryMarginal[row]));
    ["q", "g"].forEach((side, at) => {
      const labels = Array.from({ length: this.geometry.count }, (_, index) =>
        this.describe({ side, index }).join(": "),
      );
      this.grids[side].show(this.geometry, this.imageSources[at], this.labels[at], labels);
    });
    this.redraw();
  }

  /**
   * Write D as the sum of its two parts (Eq. 10).
   * @param {number} dCos
   * @param {number} dEmd
   * @param {number} alpha
   */
  setDistance(dCos, dEmd, alpha) {
    const [cosine, emd] = [(1 - alpha) * dCos, alpha * dEmd];
    const parts = `${(1 - alpha).toFixed(2)} × ${dCos.toFixed(4)} (cosine) + ${alpha.toFixed(2)} × ${dEmd.toFixed(4)} (EMD)`;
    const text = `D = ${parts} = ${(cosine + emd).toFixed(4)}`;
    if (this.distance.textContent !== text) this.distance.textContent = text;
  }

  isPinned(side, index) {
    return this.pinned !== null && this.pinned.side === side && this.pinned.index === index;
  }

  setPin(pin, notify) {
    this.pinned = pin;
    for (const side of ["q", "g"]) this.grids[side].select(pin?.side === side ? pin.index : null);
    this.draw();
    if (!notify) return;
    this.sent = pin ? `${pin.side}${pin.index}` : "";
    this.onPin(this.sent);
  }

  // Apply the server's pin, unless the server has not yet received the last pin that was set in the browser.
  receivePin(text) {
    if (this.sent !== undefined && this.sent !== text) return;
    this.sent = undefined;
    const index = Number(text.slice(1));
    this.setPin(text && index < this.geometry.count ? { side: text[0], index } : null, false);
  }

  describe({ side, index }) {
    const name = `${side === "q" ? "Query" : "Gallery"} patch, ${this.geometry.name(index)}`;
    const { mass, emd } = this.totals[side === "q" ? "query" : "gallery"];
    if (side === "q" && this.totals.rowOf[index] < 0) return [name, "dropped, so it has no weight"];
    if (mass[index] <= 0) return [name, "no weight, so no flow"];
    const share = percent(emd[index] / this.totals.emd);
    const cost = (emd[index] / mass[index]).toFixed(3);
    return [name, `mass ${percent(mass[index])} · mean cost ${cost} · ${share} of D_EMD (${emd[index].toFixed(4)})`];
  }

  /**
   * Return the flows of a patch as [from, to, mass, cost], lightest first.
   * @param {{side: string, index: number}} patch
   * @returns {[number, number, number, number][]}
   */
  flowsOf({ side, index }) {
    const { plan, cost, kept } = this.pair;
    const count = this.geometry.count;
    const flows = [];
    if (side === "q") {
      const row = this.totals.rowOf[index];
      for (let column = 0; row >= 0 && column < count; column += 1) flows.push([index, column, row * count + column]);
    } else {
      kept.forEach((position, row) => flows.push([position, index, row * count + index]));
    }
    return flows
      .map(([from, to, at]) => /** @type {[number, number, number, number]} */ ([from, to, plan[at], cost[at]]))
      .sort((a, b) => a[2] - b[2]);
  }

  colour(cost, opacity) {
    return shade(VIRIDIS_RAMP, (cost - this.range[0]) / (this.range[1] - this.range[0]), opacity);
  }

  // Return the position of a patch's centre on the stage in CSS pixels.
  point(side, index) {
    const scale = this.scale;
    return [scale * this.geometry.x(index) + (side === "g" ? this.offset : 0), scale * this.geometry.y(index)];
  }

  stroke(context, [from, to, mass, cost], heaviest, halo) {
    const ends = [this.point("q", from), this.point("g", to)];
    drawFlow(context, ends, mass / heaviest, (opacity) => this.colour(cost, opacity), halo ? this.halo : "");
  }

  drawHovered() {
    if (!this.pair || !this.stage.clientWidth) return;
    const context = sharpContext(this.over, this.stage.clientWidth, this.stage.clientHeight, 1);
    const shown = this.hovered ?? this.pinned;
    this.flows.classList.toggle("quiet", Boolean(shown));
    if (shown) {
      const flows = this.flowsOf(shown);
      const heaviest = flows.at(-1)?.[2] || 1;
      const seen = flows.filter((flow) => flow[2] >= MIN_FLOW_SHARE * heaviest);
      const other = shown.side === "q" ? "g" : "q";
      for (const flow of seen) {
        const end = other === "g" ? flow[1] : flow[0];
        context.fillStyle = this.colour(flow[3], 0.75 * (flow[2] / heaviest));
        context.fillRect(...this.box(other, end));
      }
      for (const flow of seen) this.stroke(context, flow, heaviest, true);
    }
    if (this.pinned) ring(context, this.box(this.pinned.side, this.pinned.index), PICKED, 2.5);
    if (this.hovered) ring(context, this.box(this.hovered.side, this.hovered.index), "#ffffff", 1.8);
    this.describeShown(shown);
  }

  /**
   * Return the cell of a patch on the stage: x, y, width and height in CSS pixels.
   * @param {string} side
   * @param {number} index
   * @returns {[number, number, number, number]}
   */
  box(side, index) {
    const [x, y, width, height] = this.geometry.cell(index);
    const { scale } = this;
    return [scale * x + (side === "g" ? this.offset : 0), scale * y, scale * width, scale * height];
  }

  describeShown(shown) {
    const [title, text] = shown
      ? this.describe(shown)
      : ["Hover over a patch", "to see where its weight goes (thicker = more). Click to pin."];
    const head = element("span", "title", this.isPinned(shown?.side, shown?.index) ? `${title} (pinned)` : title);
    this.description.replaceChildren(head, element("br"), element("span", "", text));
  }

  drawAll() {
    if (!this.pair || !this.stage.clientWidth) return;
    this.scale = this.grids.q.element.clientWidth / this.geometry.width;
    this.offset = this.grids.g.element.offsetLeft;
    this.halo = getComputedStyle(this.root).color.match(/\d+/g).slice(0, 3).join(", ");
    for (const side of ["q", "g"]) this.drawImage(side);
    this.weightBar.node.hidden = !this.on.weights.checked;
    this.threshold.hidden = !this.on.all.checked;
    this.drawFlows();
    this.drawHovered();
  }

  drawImage(side) {
    const grid = this.grids[side];
    const context = grid.context();
    const { rowOf, targets } = this.totals;
    const weight = this.weightOf[side];
    if (this.on.weights.checked) {
      grid.fill(context, (index) =>
        weight[index] >= 0 ? shade(VIRIDIS_RAMP, weight[index] / this.weightTop, HEAT) : null,
      );
    }
    if (side === "q" && this.on.dimmed.checked) grid.markDropped(context, (index) => rowOf[index] < 0);
    if (!this.on.targets.checked) return;
    // Draw the average target of each kept patch. Its colour encodes the vertical position of the query patch.
    this.pair.kept.forEach((position, row) => {
      const from = [this.geometry.x(position), this.geometry.y(position)];
      const at = side === "q" ? from : [targets[2 * row], targets[2 * row + 1]];
      if (!Number.isFinite(at[0])) return;
      const colour = shade(VIRIDIS_RAMP, from[1] / this.geometry.height);
      if (side === "g") {
        context.strokeStyle = colour;
        context.lineWidth = 0.8;
        context.beginPath();
        context.moveTo(...from);
        context.lineTo(...at);
        context.stroke();
      }
      context.fillStyle = colour;
      context.strokeStyle = "#ffffff";
      context.lineWidth = 0.7;
      context.beginPath();
      context.arc(...at, 2.6, 0, 2 * Math.PI);
      context.fill();
      context.stroke();
    });
  }

  drawFlows() {
    const context = sharpContext(this.flows, this.stage.clientWidth, this.stage.clientHeight, 1);
    if (!this.on.all.checked) return;
    const { plan, cost, kept } = this.pair;
    const count = this.geometry.count;
    this.heaviest ??= heaviestFlows(plan);
    const total = this.heaviest.length;
    const visible = Math.max(1, Math.round(total * (this.slider.value / 100) ** 2));
    const shown = this.heaviest.slice(0, visible).filter((at) => plan[at] > 0);
    for (const at of shown.toReversed()) {
      this.stroke(
        context,
        [kept[Math.floor(at / count)], at % count, plan[at], cost[at]],
        plan[this.heaviest[0]],
        false,
      );
    }
    const mass = shown.reduce((sum, at) => sum + plan[at], 0) / (this.totals.mass || 1);
    const least = shown.length ? plan[shown.at(-1)] / this.totals.mass : 0;
    const text = `Showing ${shown.length} flows of at least ${percent(least, 3)} each (${percent(mass, 1)} of the total)`;
    this.flowCount.textContent = text;
    this.slider.setAttribute("aria-valuetext", text);
  }
}

const unpacked = new WeakMap();
function unpack(pair) {
  if (!unpacked.has(pair)) {
    const names = ["plan", "cost", "queryMarginal", "galleryMarginal"];
    unpacked.set(pair, { ...pair, ...Object.fromEntries(names.map((name) => [name, decodeFloats(pair[name])])) });
  }
  return unpacked.get(pair);
}

/** @param {ComponentArgs<{key: string, row: number, pair: Pair, pictures: string[], names: string[], grid: Grid, distance: [number, number], pin: string}>} args */
export default function ({ data, parentElement, setTriggerValue }) {
  const view = viewOf(parentElement, (root) => new TransportView(root));
  view.onPin = (text) => setTriggerValue("pinned", text);
  const { key, row, pair, pictures, names, grid, distance } = data;
  const images = view.imageSources;
  if (images?.[0] !== pictures[0] || images[1] !== pictures[1] || view.geometry.pruned !== grid.pruned) {
    view.setImages(new Geometry(grid), pictures, names);
    view.shown = null;
  }
  // While the keep rate is dragged, the pair of that keep rate is drawn as soon as the background job has sent it.
  const paint = () => {
    const dragged = live.answer?.key === key && live.answer.gamma !== live.view.gamma;
    const other = dragged ? live.pair() : null;
    const now = other?.row === row ? other : pair;
    view.root.classList.toggle("stale", dragged && now === pair);
    if (view.shown?.plan !== now.plan || view.shown.cost !== now.cost) view.show(unpack(now));
    view.shown = now;
    const match = live.answer?.key === key ? live.match() : null;
    const at = match?.indices.indexOf(row) ?? -1;
    if (match && at >= 0) view.setDistance(match.dCos[at], match.dEmd[at], live.view.alpha);
    else view.setDistance(distance[0], pair.dEmd, distance[1]);
  };
  paint();
  view.receivePin(data.pin);
  live.follow(view.root, paint);
  return () => live.unfollow(view.root);
}
