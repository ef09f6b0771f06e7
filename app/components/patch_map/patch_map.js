// Images with patch values on a common colour scale. A panel without values shows only the patch grid. If the
// data has `links`, hovering over a query patch shows its values for all patches of the other image.
class PatchMapView {
  /** @type {any} the data that was drawn last */
  shown = null;

  constructor(root) {
    this.root = root;
    root.className = "patch-map";
    this.paint = oncePerFrame(() => this.drawAll());
  }

  show(data) {
    this.data = data;
    this.geometry = new Geometry(data.grid);
    this.hovered = this.pinned = null;
    this.layer = 0;
    this.links = data.links && decodeFloats(data.links);
    const panels = element("div", data.panels.length > 2 ? "panels many" : "panels");
    this.panels = data.panels.map((panel, panelIndex) => this.panel(panel, panelIndex));
    panels.append(...this.panels.map(({ figure }) => figure));
    this.description = element("p", "description");
    this.description.setAttribute("role", "status");
    this.bar = colourBar(VIRIDIS);
    this.bar.set(data.label, ...data.ends);
    this.bar.node.hidden = !data.label;
    const names = data.panels[0].layers.map(({ name }) => name);
    const layers = element("div", "layers");
    if (names.length > 1) layers.append(...names.map((name, at) => this.button(name, at)));
    this.root.replaceChildren(layers, panels, this.description, this.bar.node);
    this.observer?.disconnect();
    this.observer = new ResizeObserver(this.paint);
    this.observer.observe(panels);
    this.paint();
  }

  button(name, at) {
    const button = element("button", "layer", name);
    button.type = "button";
    button.addEventListener("click", () => {
      this.layer = at;
      this.paint();
    });
    return button;
  }

  panel(panel, panelIndex) {
    const grid = new PatchGrid(`${panel.side}${panelIndex}`, {
      hover: (index) => {
        this.hovered = index === null ? null : { panelIndex, index };
        this.paint();
      },
      pick: (index) => {
        const same = this.pinned?.panelIndex === panelIndex && this.pinned.index === index;
        this.pinned = index === null || same ? null : { panelIndex, index };
        this.paint();
      },
    });
    grid.show(this.geometry, panel.picture, panel.name, panel.descriptions);
    const figure = element("figure", "one");
    figure.append(element("figcaption", "", panel.name), grid.element);
    return { figure, grid, layers: panel.layers.map(({ values }) => decodeFloats(values)), panel };
  }

  drawAll() {
    if (!this.panels[0].grid.element.clientWidth) return;
    const { data, geometry } = this;
    const shown = this.hovered ?? this.pinned;
    const queryPatch = shown && data.panels[shown.panelIndex].side === "q" ? shown.index : data.start;
    const row = this.links ? data.kept.indexOf(queryPatch) : -1;
    [...this.root.querySelectorAll(".layer")].forEach((button, at) =>
      button.setAttribute("aria-pressed", String(at === this.layer)),
    );
    const colour = (value) => shade(VIRIDIS_RAMP, (value - data.range[0]) / (data.range[1] - data.range[0] || 1), HEAT);
    this.panels.forEach(({ grid, layers, panel }, panelIndex) => {
      const context = grid.context();
      if (this.links) {
        if (panel.side === "q") grid.markDropped(context, (index) => !data.kept.includes(index));
        else if (row >= 0) {
          const costs = this.links.subarray(row * geometry.count, (row + 1) * geometry.count);
          grid.fill(context, (index) => colour(costs[index]));
          ring(context, geometry.cell(costs.indexOf(Math.min(...costs))), "#ffffff", 2);
        }
        if (panel.side === "q" && row >= 0) ring(context, geometry.cell(queryPatch), PICKED, 2);
      } else if (layers.length) {
        const values = layers[Math.min(this.layer, layers.length - 1)];
        grid.fill(context, (index) => (Number.isNaN(values[index]) ? null : colour(values[index])));
        grid.markDropped(context, (index) => Number.isNaN(values[index]));
      } else {
        context.lineWidth = 0.9;
        for (let index = 0; index < geometry.count; index += 1) {
          context.strokeStyle = "rgba(255, 255, 255, 0.85)";
          context.strokeRect(...geometry.cell(index));
        }
      }
      if (shown?.panelIndex === panelIndex) ring(context, geometry.cell(shown.index), PICKED, 2);
    });
    const at = shown ?? (row >= 0 ? { panelIndex: 0, index: queryPatch } : null);
    this.description.textContent = at ? data.panels[at.panelIndex].descriptions[at.index] : "Hover over a patch.";
  }
}

/** @param {ComponentArgs<any>} args */
export default function ({ data, parentElement }) {
  const view = viewOf(parentElement, (root) => new PatchMapView(root));
  const sent = JSON.stringify(data);
  if (view.shown === sent) return;
  view.shown = sent;
  view.show(data);
}
