// Shapes of a scene and pure functions on them. Fields and bounds are the same as in fpc_core/data/occluders.py.

/**
 * An occluder, with lengths as fractions of the image. A stroke has `points` and a brush `width`. Every other shape has
 * a centre, a size and a rotation in degrees.
 * @typedef {object} Shape
 * @property {string} kind
 * @property {number} [x]
 * @property {number} [y]
 * @property {number} [width]
 * @property {number} [height]
 * @property {number} [rotation]
 * @property {string} [colour]
 * @property {string} [texture]
 * @property {boolean} [mirrored]
 * @property {string} [path]
 * @property {string} [outline]
 * @property {number[][]} [points]
 */
const MIN_SIZE = 0.02;
const MAX_SIZE = 3;
const CENTRE_RANGE = [-0.5, 1.5]; // Range of a shape's centre in fractions of the image, so that it cannot be moved far outside.
const NAMES = { rectangle: "Rectangle", pole: "Pole", texture: "Texture", cut_out: "Person", stroke: "Brush stroke" };

/** Initial properties of a new shape, by kind. */
const NEW_SHAPES = {
  rectangle: { x: 0.5, y: 0.5, width: 0.6, height: 0.3, rotation: 0, colour: "#808080" },
  pole: { x: 0.5, y: 0.5, width: 0.14, height: 1.04, rotation: 0, colour: "#9a9da1" },
  texture: { x: 0.5, y: 0.72, width: 1, height: 0.4, rotation: 0, texture: "bricks" },
};

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const round4 = (value) => Number(value.toFixed(4));
const radians = (degrees) => (degrees * Math.PI) / 180;

/**
 * Return the axis-aligned bounding box of a stroke; any other shape is its own box.
 * @param {Shape} shape
 * @returns {Shape | {x: number, y: number, width: number, height: number, rotation: number}}
 */
function boxOf(shape) {
  if (shape.kind !== "stroke") return shape;
  const [xs, ys] = [0, 1].map((axis) => shape.points.map((point) => point[axis]));
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  return { x: (left + right) / 2, y: (top + bottom) / 2, width: right - left, height: bottom - top, rotation: 0 };
}

/**
 * Move a shape by fractions of the image.
 * @param {Shape} shape
 * @param {number} dx
 * @param {number} dy
 * @returns {Shape}
 */
function moveShape(shape, dx, dy) {
  const box = boxOf(shape);
  const [x, y] = [box.x + dx, box.y + dy].map((value) => clamp(value, CENTRE_RANGE[0], CENTRE_RANGE[1]));
  if (shape.kind !== "stroke") return { ...shape, x: round4(x), y: round4(y) };
  return { ...shape, points: shape.points.map(([px, py]) => [round4(px + x - box.x), round4(py + y - box.y)]) };
}

/**
 * Scale a shape about its centre.
 * @param {Shape} shape
 * @param {number} across horizontal factor
 * @param {number} down vertical factor
 * @returns {Shape}
 */
function scaleShape(shape, across, down) {
  if (shape.kind !== "stroke") {
    return {
      ...shape,
      width: round4(clamp(shape.width * across, MIN_SIZE, MAX_SIZE)),
      height: round4(clamp(shape.height * down, MIN_SIZE, MAX_SIZE)),
    };
  }
  const box = boxOf(shape);
  return {
    ...shape,
    points: shape.points.map(([x, y]) => [
      round4(clamp(box.x + (x - box.x) * across, -2, 3)),
      round4(clamp(box.y + (y - box.y) * down, -2, 3)),
    ]),
    width: round4(clamp(shape.width * Math.sqrt(across * down), MIN_SIZE, 1)),
  };
}

/**
 * Rotate a shape about its centre.
 * @param {Shape} shape
 * @param {number} degrees
 * @param {number} ratio height of the image divided by its width, because x and y are fractions of different lengths
 * @returns {Shape}
 */
function rotateShape(shape, degrees, ratio) {
  if (shape.kind !== "stroke") {
    const rotation = ((((shape.rotation + degrees + 180) % 360) + 360) % 360) - 180;
    return { ...shape, rotation: round4(rotation) };
  }
  const box = boxOf(shape);
  const [cos, sin] = [Math.cos(radians(degrees)), Math.sin(radians(degrees))];
  return {
    ...shape,
    points: shape.points.map(([x, y]) => {
      const [dx, dy] = [x - box.x, (y - box.y) * ratio];
      return [
        round4(clamp(box.x + cos * dx - sin * dy, -2, 3)),
        round4(clamp(box.y + (sin * dx + cos * dy) / ratio, -2, 3)),
      ];
    }),
  };
}

/**
 * Reduce a line to at most `maxPoints` evenly chosen points, including both ends.
 * @param {number[][]} points
 * @param {number} maxPoints
 */
function thinLine(points, maxPoints) {
  if (points.length <= maxPoints) return points;
  return Array.from({ length: maxPoints }, (_, at) => points[Math.round((at * (points.length - 1)) / (maxPoints - 1))]);
}

const isEqual = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/**
 * Convert a point of a stroke from pixels to fractions of the image.
 * @param {[number, number]} point
 * @param {[number, number]} size width and height of the image in pixels
 */
function toFractions([x, y], [imageWidth, imageHeight]) {
  return [round4(clamp(x / imageWidth, -2, 3)), round4(clamp(y / imageHeight, -2, 3))];
}

/**
 * Return the direction from the centre of a shape to a point, in degrees.
 * @param {[number, number]} point in pixels
 * @param {Shape} shape
 * @param {[number, number]} size width and height of the image in pixels
 */
function angleTo([x, y], shape, [imageWidth, imageHeight]) {
  const box = boxOf(shape);
  return (Math.atan2(y - box.y * imageHeight, x - box.x * imageWidth) * 180) / Math.PI;
}

/**
 * Drag a corner of a shape to a point, without moving the opposite corner.
 * @param {Shape} shape
 * @param {string} corner nw, ne, sw or se
 * @param {[number, number]} point in pixels
 * @param {boolean} even whether both sides change by the same factor
 * @param {[number, number]} size width and height of the image in pixels
 * @returns {Shape}
 */
function stretchShape(shape, corner, [x, y], even, [imageWidth, imageHeight]) {
  const box = boxOf(shape);
  const [width, height] = [box.width * imageWidth, box.height * imageHeight];
  const [cos, sin] = [Math.cos(radians(box.rotation)), Math.sin(radians(box.rotation))];
  const [sx, sy] = [corner.includes("e") ? 1 : -1, corner.includes("s") ? 1 : -1];
  const fixed = [
    box.x * imageWidth - (cos * sx * width - sin * sy * height) / 2,
    box.y * imageHeight - (sin * sx * width + cos * sy * height) / 2,
  ];
  const [dx, dy] = [x - fixed[0], y - fixed[1]];
  let across = Math.max((sx * (cos * dx + sin * dy)) / width || 1, MIN_SIZE);
  let down = Math.max((sy * (cos * dy - sin * dx)) / height || 1, MIN_SIZE);
  if (even || shape.kind === "stroke") across = down = Math.max(across, down);
  const grown = scaleShape(shape, across, down);
  const after = boxOf(grown);
  const [half, side] = [(sx * after.width * imageWidth) / 2, (sy * after.height * imageHeight) / 2];
  return moveShape(
    grown,
    (fixed[0] + cos * half - sin * side) / imageWidth - after.x,
    (fixed[1] + sin * half + cos * side) / imageHeight - after.y,
  );
}

/**
 * Return a text that describes a shape, also for screen readers.
 * @param {Shape} shape
 * @param {number} index index of the shape in its scene
 * @param {number} count number of shapes in the scene
 */
function describeShape(shape, index, count) {
  const box = boxOf(shape);
  const whole = (share) => `${Math.round(100 * share)} %`;
  const size = shape.kind === "stroke" ? `brush ${whole(shape.width)}` : `${whole(box.width)} × ${whole(box.height)}`;
  const turn = box.rotation ? ` · rotated ${Math.round(box.rotation)}°` : "";
  return `${NAMES[shape.kind]}, ${index + 1} of ${count} · centre ${whole(box.x)} across, ${whole(box.y)} down · ${size}${turn}`;
}
