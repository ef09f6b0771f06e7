// Shapes of a scene as plain objects, and what is done to them: pure functions, fractions of the image in and out.
// Values and their bounds are those of fpc_core/data/occluders.py.
const SMALLEST = 0.02;
const LARGEST = 3;
const REACH = [-0.5, 1.5]; // of centres: a shape cannot be lost from sight
const NAMES = { rectangle: "Rectangle", pole: "Pole", texture: "Texture", cut_out: "Person", stroke: "Brush stroke" };

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const round4 = (value) => Number(value.toFixed(4));
const radians = (degrees) => (degrees * Math.PI) / 180;

function boxOf(shape) {
  if (shape.kind !== "stroke") return shape;
  const [xs, ys] = [0, 1].map((axis) => shape.points.map((point) => point[axis]));
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  return { x: (left + right) / 2, y: (top + bottom) / 2, width: right - left, height: bottom - top, rotation: 0 };
}

function moved(shape, dx, dy) {
  const box = boxOf(shape);
  const [x, y] = [clamp(box.x + dx, ...REACH), clamp(box.y + dy, ...REACH)];
  if (shape.kind !== "stroke") return { ...shape, x: round4(x), y: round4(y) };
  return { ...shape, points: shape.points.map(([px, py]) => [round4(px + x - box.x), round4(py + y - box.y)]) };
}

// Scaled about its centre.
function scaled(shape, across, down) {
  if (shape.kind !== "stroke") {
    return {
      ...shape,
      width: round4(clamp(shape.width * across, SMALLEST, LARGEST)),
      height: round4(clamp(shape.height * down, SMALLEST, LARGEST)),
    };
  }
  const box = boxOf(shape);
  return {
    ...shape,
    points: shape.points.map(([x, y]) => [
      round4(clamp(box.x + (x - box.x) * across, -2, 3)),
      round4(clamp(box.y + (y - box.y) * down, -2, 3)),
    ]),
    width: round4(clamp(shape.width * Math.sqrt(across * down), SMALLEST, 1)),
  };
}

// Turned about its centre; ratio: height of the image over its width, for pixels are turned and not fractions.
function turned(shape, degrees, ratio) {
  if (shape.kind !== "stroke") {
    const rotation = (((shape.rotation + degrees + 180) % 360) + 360) % 360 - 180;
    return { ...shape, rotation: round4(rotation) };
  }
  const box = boxOf(shape);
  const [cos, sin] = [Math.cos(radians(degrees)), Math.sin(radians(degrees))];
  return {
    ...shape,
    points: shape.points.map(([x, y]) => {
      const [dx, dy] = [x - box.x, (y - box.y) * ratio];
      return [round4(clamp(box.x + cos * dx - sin * dy, -2, 3)), round4(clamp(box.y + (sin * dx + cos * dy) / ratio, -2, 3))];
    }),
  };
}

// A line of at most `most` points: thinned out evenly, its ends kept.
function thinned(points, most) {
  if (points.length <= most) return points;
  return Array.from({ length: most }, (_, at) => points[Math.round((at * (points.length - 1)) / (most - 1))]);
}

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
