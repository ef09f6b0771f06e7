// Image cards with heat maps. The server sends heat maps as numbers, because images would need 50 times as many bytes.

class HeatImage {
  constructor() {
    this.element = element("div", "heat");
    this.element.setAttribute("role", "img");
    this.image = element("img");
    this.canvas = element("canvas");
    this.geometry = this.grid = this.top = null;
    this.image.alt = "";
    this.element.append(this.image, this.canvas);
    this.element.heat = this;
    new ResizeObserver(() => this.paint()).observe(this.element);
  }

  // Show an image with a heat map. `grid` has a value per patch, NaN for none, or is null while the map is computed.
  show(source, geometry, grid, top) {
    if (source && this.image.src !== source) this.image.src = source;
    Object.assign(this, { geometry, grid, top });
    this.element.dataset.heat = grid ? "shown" : "pending";
    this.paint();
  }

  paint() {
    const { geometry, grid, top } = this;
    const [width, height] = [this.element.clientWidth, this.element.clientHeight];
    if (!geometry || !width) return;
    const context = sharpContext(this.canvas, width, height, width / geometry.width);
    if (!grid) return;
    fillPatches(context, geometry, (index) =>
      Number.isNaN(grid[index]) ? null : shade(VIRIDIS_RAMP, top > 0 ? grid[index] / top : 0, HEAT),
    );
    markDropped(context, geometry, (index) => Number.isNaN(grid[index]));
  }
}

/** @param {ComponentArgs<{key: string, part: string, strip: any, pictures: Record<string, string>, grid: Grid, width: string, columns: number, clickable: boolean}>} args */
export default function ({ data, parentElement, setTriggerValue }) {
  /** @type {Host} */
  const root = parentElement.querySelector(".strips");
  root.style.setProperty("--card", data.width);
  root.style.setProperty("--columns", String(data.columns));
  root.classList.toggle("grid", data.columns > 0);
  root.onkeydown = moveFocus;
  const geometry = new Geometry(data.grid);
  const pick = data.clickable ? (id) => setTriggerValue("picked", id) : null;
  const source = (card) => data.pictures[card.image] ?? live.images.get(card.image);
  live.follow(root, () => {
    const heat = live.heat?.key === data.key ? live.heat.parts[data.part] : null;
    const known = data.strip.cards.filter(source).length;
    if (root.drawn?.data === data && root.drawn.heat === heat && root.drawn.known === known) return;
    root.drawn = { data, heat, known };
    const values = heat && decodeFloats(heat.grids);
    const high = heat ? (heat.top > 0 ? "high" : "nothing above 0") : "…";
    const [section] = drawStrips(root, [data.strip], { pick, makeImage: () => new HeatImage().element });
    root.bar ??= colourBar(VIRIDIS);
    root.bar.set(data.strip.scale.label, "low", high);
    root.bar.node.title = heat?.top > 0 ? `from ${data.strip.scale.low} to ${Number(heat.top.toPrecision(2))}` : "";
    section.append(root.bar.node);
    root.dataset.heat = heat ? data.key : "";
    data.strip.cards.forEach((card, index) => {
      const grid = values?.subarray(index * geometry.count, (index + 1) * geometry.count) ?? null;
      section.cards.get(card.id).image.heat.show(source(card), geometry, grid, heat?.top);
    });
  });
  live.changed();
  return () => live.unfollow(root);
}
