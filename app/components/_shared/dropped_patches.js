// How dropped patches look: pale, hatched or outlined. fpc_core/explain/overlay.py draws them in figures.
const PALE = { dim: 0.82, hatch: 0.62, outline: 0.35 }; // Opacity of the white over a dropped patch.
const HATCH_PERIOD = 6; // Distance of the lines of a hatch along an axis, in pixels of the model's input.
const LINE = "rgba(35, 40, 50, 0.85)";

/**
 * Return the edges between dropped patches and the rest, as [x, y, x, y] in pixels of the model's input.
 * @param {Geometry} geometry
 * @param {(index: number) => boolean} isDropped
 */
function droppedEdges(geometry, isDropped) {
  const { rows, columns } = geometry;
  const dropped = (row, column) =>
    row >= 0 && row < rows && column >= 0 && column < columns && isDropped(row * columns + column);
  const edges = [];
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      if (!dropped(row, column)) continue;
      const [x, y, width, height] = geometry.cell(row * columns + column);
      if (!dropped(row - 1, column)) edges.push([x, y, x + width, y]);
      if (!dropped(row + 1, column)) edges.push([x, y + height, x + width, y + height]);
      if (!dropped(row, column - 1)) edges.push([x, y, x, y + height]);
      if (!dropped(row, column + 1)) edges.push([x + width, y, x + width, y + height]);
    }
  }
  return edges;
}

/**
 * Mark the dropped patches in the style of the geometry.
 * @param {CanvasRenderingContext2D} context in pixels of the model's input
 * @param {Geometry} geometry
 * @param {(index: number) => boolean} isDropped
 */
function markDropped(context, geometry, isDropped) {
  const area = new Path2D();
  for (let index = 0; index < geometry.count; index += 1) if (isDropped(index)) area.rect(...geometry.cell(index));
  context.save();
  context.fillStyle = `rgba(255, 255, 255, ${PALE[geometry.pruned]})`;
  context.fill(area);
  if (geometry.pruned === "hatch") {
    context.clip(area);
    context.beginPath();
    for (let x = -geometry.height; x < geometry.width; x += HATCH_PERIOD) {
      context.moveTo(x, geometry.height);
      context.lineTo(x + geometry.height, 0);
    }
    context.strokeStyle = LINE;
    context.lineWidth = 1.1;
    context.stroke();
  } else if (geometry.pruned === "outline") {
    context.beginPath();
    for (const [x, y, toX, toY] of droppedEdges(geometry, isDropped)) {
      context.moveTo(x, y);
      context.lineTo(toX, toY);
    }
    for (const [colour, width] of /** @type {[string, number][]} */ ([
      [LINE, 3.4],
      [PICKED, 1.8],
    ])) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.stroke();
    }
  }
  context.restore();
}
