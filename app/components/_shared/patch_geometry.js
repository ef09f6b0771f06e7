/**
 * Positions of the patches in the image. Patches overlap if the stride is below the patch size. Therefore the cell of a
 * patch ends midway between its centre and those of its neighbours.
 */
class Geometry {
  /** @param {Grid} grid */
  constructor({ rows, columns, stride, patch, width, height, pruned }) {
    this.rows = rows;
    this.columns = columns;
    this.count = rows * columns;
    this.stride = stride;
    this.patch = patch;
    this.width = width;
    this.height = height;
    this.pruned = pruned;
    this.columnEdges = this.edges(columns, width);
    this.rowEdges = this.edges(rows, height);
  }
  /** Return the horizontal centre of a patch in pixels. @param {number} index */
  x(index) {
    return (index % this.columns) * this.stride + this.patch / 2;
  }
  /** Return the vertical centre of a patch in pixels. @param {number} index */
  y(index) {
    return Math.floor(index / this.columns) * this.stride + this.patch / 2;
  }
  /**
   * Return the edges of the cells along one axis in pixels.
   * @param {number} count number of cells
   * @param {number} length length of the axis in pixels
   */
  edges(count, length) {
    return Array.from({ length: count + 1 }, (_, at) =>
      at === 0 ? 0 : at === count ? length : at * this.stride + (this.patch - this.stride) / 2,
    );
  }
  /**
   * Return the cell of a patch.
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
   * Return the patch whose cell contains a point, in pixels of the model's input, or the nearest patch for a point outside.
   * @param {number} x
   * @param {number} y
   */
  at(x, y) {
    const cellAlong = (/** @type {number} */ value, /** @type {number} */ count) =>
      Math.min(Math.max(Math.floor((value - (this.patch - this.stride) / 2) / this.stride), 0), count - 1);
    return cellAlong(y, this.rows) * this.columns + cellAlong(x, this.columns);
  }
  /** Return the row and column of a patch as text. @param {number} index */
  name(index) {
    return `row ${Math.floor(index / this.columns) + 1}, column ${(index % this.columns) + 1}`;
  }
}
