// A signed map over the positions of a sliding occluder: orange where the occluder worsens the rank or distance of the
// true match, purple where it improves them. Positions without an effect have no colour.
const UNKNOWN = "rgba(255, 255, 255, 0.82)"; // Colour of a position whose effect is unknown.

class SensitivityView {
  constructor(root) {
    root.className = "sensitivity";
    this.hovered = null;
    this.draw = oncePerFrame(() => this.drawMap());
    this.grid = new PatchGrid("positions", {
      hover: (index) => {
        this.hovered = index;
        this.draw();
      },
    });
    this.bar = signedBar();
    this.description = element("p", "description");
    this.description.setAttribute("role", "status");
    const details = element("div", "details");
    details.append(this.bar.node, this.description);
    root.replaceChildren(this.grid.element, details);
    new ResizeObserver(this.draw).observe(this.grid.element);
  }

  show({ values, picture, grid, side, name, whole }) {
    this.values = decodeFloats(values);
    this.geometry = new Geometry(grid);
    this.side = side;
    this.name = name;
    this.whole = whole;
    this.top = this.values.reduce((max, value) => Math.max(max, Math.abs(value) || 0), 0);
    const labels = Array.from(this.values, (_, index) => this.describe(index).join(": "));
    this.grid.show(this.geometry, picture, "query", labels);
    this.bar.set(`${name}:`, `−${this.format(this.top)}, better`, `+${this.format(this.top)}, worse`);
    this.draw();
  }

  format(value) {
    return this.whole ? String(Math.abs(value)) : Math.abs(value).toFixed(4);
  }

  describe(index) {
    const position = `Occluder at ${this.geometry.name(index)}`;
    const value = this.values[index];
    if (Number.isNaN(value)) return [position, "effect unknown"];
    if (value === 0) return [position, `${this.name} does not change`];
    const [sign, word] = value > 0 ? ["+", "worse for"] : ["−", "better for"];
    return [position, `${this.name} ${sign}${this.format(value)}, ${word} the correct match`];
  }

  drawMap() {
    if (!this.values) return;
    const context = this.grid.context();
    const { values } = this;
    this.grid.fill(context, (index) => (Number.isNaN(values[index]) ? UNKNOWN : signedColour(values[index], this.top)));
    if (this.hovered === null) {
      this.description.textContent = "Hover (or use the arrow keys) to see the effect at a position.";
      return;
    }
    const [x, y] = [this.geometry.x(this.hovered), this.geometry.y(this.hovered)];
    ring(context, [x - this.side / 2, y - this.side / 2, this.side, this.side], "#fff", 1.5);
    const [position, text] = this.describe(this.hovered);
    this.description.replaceChildren(element("span", "title", position), element("br"), element("span", "", text));
  }
}

/** @param {ComponentArgs<{values: string, picture: string, grid: Grid, side: number, name: string, whole: boolean}>} args */
export default function ({ data, parentElement }) {
  viewOf(parentElement, (root) => new SensitivityView(root)).show(data);
}
