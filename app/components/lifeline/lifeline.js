// Lifelines of single patches through the blocks. The view shows the patch under the pointer or, without one, the pinned
// query patch, which is the same as in the transport view.

const WIDTH = 460;

class LifelineView {
  /** @type {(pin: string) => void} sends the pinned patch to the server, empty for none */
  onPin;
  /** @type {any} the data that was drawn last */
  shown = null;

  constructor(root) {
    root.className = "life";
    this.hovered = this.pinned = null;
    this.draw = oncePerFrame(() => this.drawDescription());
    this.redraw = oncePerFrame(() => this.drawAll());
    this.grid = new PatchGrid("life", {
      hover: (index) => {
        this.hovered = index;
        this.draw();
      },
      pick: (index) => this.setPin(index === this.pinned ? null : index, true),
    });
    this.scrubber = element("input");
    Object.assign(this.scrubber, { type: "range", min: 0, max: 11, value: 0 });
    this.scrubber.setAttribute("aria-label", "Layer");
    this.scrubber.addEventListener("input", this.redraw);
    this.block = element("span", "faint");
    const scrub = element("label", "scrub");
    scrub.append(this.block, this.scrubber);
    this.bar = colourBar(VIRIDIS);
    const { label, box } = checkbox("Show attention as a heat map", "heat", true, this.redraw);
    this.heat = box;
    const left = element("div", "left");
    left.append(this.grid.element, scrub, label, this.bar.node);
    this.description = element("p", "description");
    this.description.setAttribute("role", "status");
    this.attentionChart = element("div");
    this.keepRateChart = element("div");
    const right = element("div", "right");
    right.append(this.description, this.attentionChart, this.keepRateChart);
    root.replaceChildren(left, right);
    new ResizeObserver(this.redraw).observe(this.grid.element);
  }

  /**
   * Replace the lifelines that are drawn.
   * @param {any} life result of `lifeline_data` in Python
   * @param {Geometry} geometry
   * @param {string} picture data URI of the query image
   */
  show(life, geometry, picture) {
    const first = !this.life;
    this.life = {
      ...life,
      blocks: life.blocks.map((block) => ({ ...block, attention: decodeFloats(block.attention) })),
    };
    this.geometry = geometry;
    this.scrubber.max = life.blocks.length - 1;
    if (first)
      this.scrubber.value = Math.max(
        life.blocks.findIndex((block) => block.drops),
        0,
      );
    const labels = life.stories.map((story, index) => `${geometry.name(index)}: ${story}`);
    this.grid.show(geometry, picture, "query", labels);
    this.redraw();
  }

  setPin(index, notify) {
    this.pinned = index;
    this.grid.select(index);
    this.redraw();
    if (!notify) return;
    this.sent = index === null ? "" : `q${index}`;
    this.onPin(this.sent);
  }

  receivePin(text) {
    if (this.sent !== undefined && this.sent !== text) return;
    this.sent = undefined;
    this.setPin(text ? Number(text.slice(1)) : null, false);
  }

  drawAll() {
    if (!this.life || !this.grid.element.clientWidth) return;
    const { fell, blocks } = this.life;
    const now = blocks[this.scrubber.value];
    const top = now.attention.reduce((max, value) => Math.max(max, value || 0), 0);
    const context = this.grid.context();
    const isDropped = (index) => Number.isNaN(now.attention[index]);
    this.grid.fill(context, (index) =>
      this.heat.checked && !isDropped(index) ? shade(VIRIDIS_RAMP, now.attention[index] / top, HEAT) : null,
    );
    this.grid.markDropped(context, isDropped);
    fell.forEach((block, index) => block === now.block && this.cross(context, index));
    if (this.pinned !== null) ring(context, this.geometry.cell(this.pinned), PICKED, 2);
    const dropped = now.drops ? `, ${now.entered - now.kept} dropped here (crossed)` : ", none dropped";
    const text = `Layer ${now.block}: ${now.entered} patches enter${dropped}`;
    this.block.textContent = text;
    this.scrubber.setAttribute("aria-valuetext", text);
    this.bar.set("[cls] attention", "0", percent(top));
    this.bar.node.hidden = !this.heat.checked;
    this.drawDescription();
  }

  cross(context, index) {
    const [x, y, width, height] = this.geometry.cell(index);
    for (const [colour, thick] of [
      ["#ffffff", 2.6],
      ["#d03b3b", 1.3],
    ]) {
      context.strokeStyle = colour;
      context.lineWidth = thick;
      context.beginPath();
      context.moveTo(x + 3, y + 3);
      context.lineTo(x + width - 3, y + height - 3);
      context.moveTo(x + width - 3, y + 3);
      context.lineTo(x + 3, y + height - 3);
      context.stroke();
    }
  }

  drawDescription() {
    if (!this.life) return;
    const index = this.hovered ?? this.pinned;
    if (index === null) {
      const head = element("span", "title", "Hover over a patch");
      this.description.replaceChildren(head, element("br"), element("span", "", "to trace it; click to pin"));
      this.attentionChart.replaceChildren();
      this.keepRateChart.replaceChildren();
      return;
    }
    const pinned = index === this.pinned ? " (pinned)" : "";
    const head = element("span", "title", `Patch, ${this.geometry.name(index)}${pinned}`);
    this.description.replaceChildren(head, element("br"), element("span", "", this.life.stories[index]));
    this.attentionChart.replaceChildren(
      element("div", "figure-title", "Attention from [cls], layer by layer"),
      this.drawAttention(index),
    );
    this.keepRateChart.replaceChildren(
      element("div", "figure-title", "Last layer reached at each keep rate"),
      this.drawRates(index),
    );
  }

  drawAttention(index) {
    const { blocks, fell } = this.life;
    const reached = blocks.filter((block) => !Number.isNaN(block.attention[index]));
    // Attention and cut-offs differ by orders of magnitude, so the axis is logarithmic and ends at powers of ten.
    const log = (value) => Math.log10(Math.max(value, 1e-6));
    const logs = [
      ...reached.map((block) => block.attention[index]),
      ...blocks.map((block) => block.cutoff).filter((value) => value !== null),
    ].map(log);
    const [low, high] = [
      Math.floor(Math.min(...logs)),
      Math.max(Math.ceil(Math.max(...logs)), Math.floor(Math.min(...logs)) + 1),
    ];
    const [left, bottom, height] = [44, 128, 112];
    const x = (at) => left + 14 + ((WIDTH - left - 30) * at) / (blocks.length - 1);
    const y = (value) => bottom - (height * (log(value) - low)) / (high - low);
    const svg = svgElement("svg", { viewBox: `0 0 ${WIDTH} 166`, role: "img", "aria-label": this.life.stories[index] });
    svg.append(
      svgElement("line", {
        class: "now",
        x1: x(this.scrubber.value),
        x2: x(this.scrubber.value),
        y1: bottom,
        y2: bottom - height,
      }),
    );
    for (let power = low; power <= high; power += 1) {
      const at = y(10 ** power);
      svg.append(svgElement("line", { class: "axis", x1: left, x2: WIDTH, y1: at, y2: at }));
      svg.append(
        svgElement(
          "text",
          { x: left - 5, y: at + 4, "text-anchor": "end" },
          percent(10 ** power, Math.max(0, -power - 2)),
        ),
      );
    }
    blocks.forEach((block, at) => {
      svg.append(
        svgElement(
          "text",
          { x: x(at), y: bottom + 15, "text-anchor": "middle", class: block.drops ? "mine" : "" },
          block.block,
        ),
      );
      if (block.cutoff === null) return;
      svg.append(
        svgElement("line", {
          class: "cutoff",
          x1: x(at) - 11,
          x2: x(at) + 11,
          y1: y(block.cutoff),
          y2: y(block.cutoff),
        }),
      );
    });
    const points = reached.map((block, at) => [x(at), y(block.attention[index])]);
    svg.append(
      svgElement("polyline", { class: "attention", points: points.map((point) => point.join(",")).join(" ") }),
    );
    for (const [cx, cy] of points) svg.append(svgElement("circle", { class: "dot", cx, cy, r: 3 }));
    if (fell[index] >= 0) {
      const [cx, cy] = points.at(-1);
      for (const slope of [-1, 1])
        svg.append(
          svgElement("line", { class: "end", x1: cx - 6, x2: cx + 6, y1: cy - 6 * slope, y2: cy + 6 * slope }),
        );
    }
    svg.append(
      svgElement(
        "text",
        { x: left, y: 162 },
        "layer (bold: prunes), log scale · orange: least attention kept · cross: dropped",
      ),
    );
    return svg;
  }

  drawRates(index) {
    const { keepRates, keepRate, falls, blocks } = this.life;
    const dropping = blocks.filter((block) => block.drops).map((block) => block.block);
    const step = (WIDTH - 12) / keepRates.length;
    const [bottom, height] = [74, 60];
    const steps = falls.map((row) => (row[index] < 0 ? dropping.length + 1 : dropping.indexOf(row[index]) + 1));
    const label = `Kept at ${steps.filter((value) => value > dropping.length).length} of ${keepRates.length} keep rates`;
    const svg = svgElement("svg", { viewBox: `0 0 ${WIDTH} 112`, role: "img", "aria-label": label });
    keepRates.forEach((rate, at) => {
      const tall = (height * steps[at]) / (dropping.length + 1);
      const bar = svgElement("rect", {
        x: at * step + 3,
        y: bottom - tall,
        width: step - 6,
        height: tall,
        class: steps[at] > dropping.length ? "lived" : "dropped",
      });
      const where = steps[at] > dropping.length ? "kept" : `dropped in layer ${falls[at][index]}`;
      bar.append(svgElement("title", {}, `keep rate ${rate}: ${where}`));
      const mine = Math.abs(rate - keepRate) < 1e-6 ? "mine" : "";
      svg.append(
        bar,
        svgElement(
          "text",
          { x: (at + 0.5) * step, y: bottom + 14, "text-anchor": "middle", class: mine },
          rate.toFixed(2),
        ),
      );
      if (steps[at] <= dropping.length) {
        svg.append(
          svgElement("text", { x: (at + 0.5) * step, y: bottom - tall - 3, "text-anchor": "middle" }, falls[at][index]),
        );
      }
    });
    svg.append(
      svgElement(
        "text",
        { x: 0, y: 108 },
        "keep rate (bold: current) · full bars: kept · hollow bars: dropped in the layer shown above",
      ),
    );
    return svg;
  }
}

/** @param {ComponentArgs<{life: any, picture: string, grid: Grid, pin: string}>} args */
export default function ({ data, parentElement, setTriggerValue }) {
  const view = viewOf(parentElement, (root) => new LifelineView(root));
  view.onPin = (text) => setTriggerValue("pinned", text);
  const sent = JSON.stringify([data.life, data.picture, data.grid]);
  if (view.shown !== sent) {
    view.show(data.life, new Geometry(data.grid), data.picture);
    view.shown = sent;
  }
  view.receivePin(data.pin);
}
