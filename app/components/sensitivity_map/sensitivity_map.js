// A signed map over the places of a sliding occluder: orange where it makes things worse for the true match, purple where
// better; the image shows through where it does nothing.
class SpotsView {
  constructor(root) {
    root.className = "spots";
    this.touched = null;
    this.draw = onceAFrame(() => this.drawMap());
    this.grid = new PatchGrid("places", {
      touch: (index) => {
        this.touched = index;
        this.draw();
      },
    });
    this.bar = signedBar();
    this.said = element("p", "said");
    this.said.setAttribute("role", "status");
    const told = element("div", "told");
    told.append(this.bar.node, this.said);
    root.replaceChildren(this.grid.element, told);
    new ResizeObserver(this.draw).observe(this.grid.element);
  }

  show({ values, picture, grid, side, name, whole }) {
    Object.assign(this, { values: floats(values), side, name, whole, geometry: new Geometry(grid) });
    this.top = this.values.reduce((most, value) => (Math.abs(value) > most ? Math.abs(value) : most), 0);
    const labels = Array.from(this.values, (_, index) => this.describe(index).join(": "));
    this.grid.show(this.geometry, picture, "query", labels);
    this.bar.set(`${name}:`, `−${this.told(this.top)}, better`, `+${this.told(this.top)}, worse`);
    this.draw();
  }

  told(value) {
    return this.whole ? String(Math.abs(value)) : Math.abs(value).toFixed(4);
  }

  describe(index) {
    const place = `Occluder at ${this.geometry.name(index)}`;
    const value = this.values[index];
    if (Number.isNaN(value)) return [place, "not known"];
    if (value === 0) return [place, `${this.name} does not change`];
    const [sign, word] = value > 0 ? ["+", "worse for"] : ["−", "better for"];
    return [place, `${this.name} ${sign}${this.told(value)}, ${word} the true match`];
  }

  drawMap() {
    if (!this.values) return;
    const context = this.grid.context();
    const { values } = this;
    this.grid.fill(context, (index) => (Number.isNaN(values[index]) ? VEIL : signedColour(values[index], this.top)));
    if (this.touched === null) {
      this.said.textContent = "Point at a place, or walk with the arrow keys, to see what an occluder does there.";
      return;
    }
    const [x, y] = [this.geometry.x(this.touched), this.geometry.y(this.touched)];
    ring(context, [x - this.side / 2, y - this.side / 2, this.side, this.side], "#fff", 1.5);
    const [place, text] = this.describe(this.touched);
    this.said.replaceChildren(element("span", "title", place), element("br"), element("span", "", text));
  }
}

export default function ({ data, parentElement }) {
  viewOf(parentElement, (root) => new SpotsView(root)).show(data);
}
