/** Where patches lie. They may overlap (stride below patch size), so a cell reaches half way to its neighbours' centres. */
class Geometry {
  /** @param {Grid} grid */
  constructor({ rows, columns, stride, patch, width, height }) {
    this.rows = rows;
    this.columns = columns;
    this.count = rows * columns;
    this.stride = stride;
    this.patch = patch;
    this.width = width;
    this.height = height;
    this.columnEdges = this.edges(columns, width);
    this.rowEdges = this.edges(rows, height);
  }
  /** The centre of a patch, in pixels from the left. @param {number} index */
  x(index) {
    return (index % this.columns) * this.stride + this.patch / 2;
  }
  /** The centre of a patch, in pixels from the top. @param {number} index */
  y(index) {
    return Math.floor(index / this.columns) * this.stride + this.patch / 2;
  }
  /**
   * Edges of the cells along one axis.
   * @param {number} count of cells
   * @param {number} length in pixels
   */
  edges(count, length) {
    return Array.from({ length: count + 1 }, (_, at) =>
      at === 0 ? 0 : at === count ? length : at * this.stride + (this.patch - this.stride) / 2,
    );
  }
  /**
   * @param {number} index
   * @returns {[number, number, number, number]} x, y, width and height in pixels
   */
  cell(index) {
    const column = index % this.columns;
    const row = Math.floor(index / this.columns);
    return [
      this.columnEdges[column],
      this.rowEdges[row],
      this.columnEdges[column + 1] - this.columnEdges[column],
      this.rowEdges[row + 1] - this.rowEdges[row],
    ];
  }
  /**
   * The patch whose cell holds a point; a point outside counts for the nearest cell.
   * @param {number} x
   * @param {number} y
   */
  at(x, y) {
    const cellAlong = (/** @type {number} */ value, /** @type {number} */ count) =>
      Math.min(Math.max(Math.floor((value - (this.patch - this.stride) / 2) / this.stride), 0), count - 1);
    return cellAlong(y, this.rows) * this.columns + cellAlong(x, this.columns);
  }
  /** @param {number} index */
  name(index) {
    return `row ${Math.floor(index / this.columns) + 1}, column ${(index % this.columns) + 1}`;
  }
}
