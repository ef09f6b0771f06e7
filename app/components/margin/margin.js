// A signed map over the query's patches: orange patches favour the winner, purple ones the loser. Patches that favour
// neither have no colour.
class MarginView {
  /** @type {any} the data that was drawn last */
  shown = null;

  constructor(root) {
    root.className = "margin";
    this.hovered = null;
    this.draw = oncePerFrame(() => this.drawMap());
    this.grid = new PatchGrid("margin", {
      hover: (index) => {
        this.hovered = index;
        this.draw();
      },
    });
    this.sides = [this.side(ORANGE), this.side(PURPLE)];
    const middle = element("figure");
    middle.append(element("figcaption", "", "query"), this.grid.element);
    const trio = element("div", "trio");
    trio.append(this.sides[0].figure, middle, this.sides[1].figure);
    this.summary = element("p", "summary");
    this.description = element("p", "description");
    this.description.setAttribute("role", "status");
    this.bar = signedBar();
    this.parts = element("div", "parts");
    const details = element("div", "details");
    details.append(this.bar.node, this.description, this.parts);
    const body = element("div", "body");
    body.append(trio, details);
    root.replaceChildren(this.summary, body);
    new ResizeObserver(this.draw).observe(this.grid.element);
  }

  side(colour) {
    const [figure, name, image] = [element("figure", "side"), element("figcaption"), element("img")];
    figure.style.setProperty("--tone", `rgb(${colour})`);
    figure.append(name, image);
    return { figure, name, image };
  }

  /**
   * Replace the margin that is drawn.
   * @param {any} margin result of `margin_data` in Python
   * @param {Geometry} geometry
   * @param {string[]} sources data URIs of winner, query and loser
   */
  show(margin, geometry, [winner, query, loser]) {
    this.margin = { ...margin, patches: decodeFloats(margin.patches) };
    this.geometry = geometry;
    this.top = this.margin.patches.reduce((max, value) => Math.max(max, Math.abs(value) || 0), 0);
    [winner, loser].forEach((source, at) => {
      this.sides[at].image.src = source;
      this.sides[at].image.alt = this.sides[at].name.textContent = margin.names[at];
    });
    this.summary.textContent = margin.story;
    const labels = Array.from(this.margin.patches, (_, index) => this.describe(index).join(": "));
    this.grid.show(geometry, query, "query", labels);
    this.bar.set(
      "favours",
      `${margin.names[1]} (${this.top.toFixed(4)})`,
      `${margin.names[0]} (${this.top.toFixed(4)})`,
    );
    this.parts.replaceChildren(this.table());
    this.draw();
  }

  table() {
    const line = (texts, tag) => {
      const row = element("tr");
      row.append(...texts.map((text, at) => element(at ? tag : "th", "", text)));
      row.firstChild.scope = "row";
      return row;
    };
    const [table, head, body] = [element("table"), element("thead"), element("tbody")];
    head.append(line(this.margin.heads, "th"));
    body.append(...this.margin.rows.map((texts) => line(texts, "td")));
    table.append(head, body);
    return table;
  }

  describe(index) {
    const value = this.margin.patches[index];
    const name = `Query patch, ${this.geometry.name(index)}`;
    if (Number.isNaN(value)) return [name, "dropped"];
    const favoured = this.margin.names[value < 0 ? 1 : 0];
    return [name, value === 0 ? "favours neither" : `favours ${favoured} by ${Math.abs(value).toFixed(5)}`];
  }

  drawMap() {
    if (!this.margin || !this.grid.element.clientWidth) return;
    const context = this.grid.context();
    const { patches } = this.margin;
    this.grid.fill(context, (index) => (Number.isNaN(patches[index]) ? null : signedColour(patches[index], this.top)));
    this.grid.markDropped(context, (index) => Number.isNaN(patches[index]));
    if (this.hovered !== null) ring(context, this.geometry.cell(this.hovered), "#ffffff", 1.8);
    const [title, text] =
      this.hovered === null
        ? ["Hover over a patch", "to see its contribution to the EMD difference"]
        : this.describe(this.hovered);
    this.description.replaceChildren(element("span", "title", title), element("br"), element("span", "", text));
  }
}

/** @param {ComponentArgs<{margin: any, pictures: string[], grid: Grid}>} args */
export default function ({ data, parentElement }) {
  const view = viewOf(parentElement, (root) => new MarginView(root));
  const sent = JSON.stringify(data);
  if (view.shown === sent) return;
  view.shown = sent;
  view.show(data.margin, new Geometry(data.grid), data.pictures);
}
