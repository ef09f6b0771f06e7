// Patches may overlap (stride below patch size), so a cell reaches half way to the neighbouring centres.
class Geometry {
  constructor({ rows, columns, stride, patch, width, height }) {
    Object.assign(this, { rows, columns, stride, patch, width, height, count: rows * columns });
  }
  x(index) {
    return (index % this.columns) * this.stride + this.patch / 2;
  }
  y(index) {
    return Math.floor(index / this.columns) * this.stride + this.patch / 2;
  }
  edges(count, length) {
    return Array.from({ length: count + 1 }, (_, at) =>
      at === 0 ? 0 : at === count ? length : at * this.stride + (this.patch - this.stride) / 2,
    );
  }
  cell(index) {
    this.across ??= this.edges(this.columns, this.width);
    this.down ??= this.edges(this.rows, this.height);
    const column = index % this.columns;
    const row = Math.floor(index / this.columns);
    return [this.across[column], this.down[row], this.across[column + 1] - this.across[column], this.down[row + 1] - this.down[row]];
  }
  at(x, y) {
    const place = (value, count) =>
      Math.min(Math.max(Math.floor((value - (this.patch - this.stride) / 2) / this.stride), 0), count - 1);
    return place(y, this.rows) * this.columns + place(x, this.columns);
  }
  name(index) {
    return `row ${Math.floor(index / this.columns) + 1}, column ${(index % this.columns) + 1}`;
  }
}
