// Boxes on a photo and pure functions on them. All lengths are whole pixels of the photo at full resolution. Bounds and
// shape are the same as in fpc_core/data/uploads/crops.py.

/** @typedef {{left: number, top: number, width: number, height: number}} Box */
/**
 * Size of the photo, and the allowed shape (ratio = width / height) and heights of boxes on it.
 * @typedef {{width: number, height: number, ratio: number, smallest: number, largest: number}} Photo
 */

const POSITIONS = 24; // Number of positions that are tried for a new box.
const clampTo = (value, low, high) => Math.max(low, Math.min(high, value));

/**
 * Return the box nearest to the given position and height that has the right shape and is inside the photo.
 * @param {number} left
 * @param {number} top
 * @param {number} height
 * @param {Photo} photo
 * @returns {Box}
 */
function boxAt(left, top, height, photo) {
  const rows = clampTo(Math.round(height), photo.smallest, photo.largest);
  const columns = clampTo(Math.round(rows * photo.ratio), 1, photo.width);
  return {
    left: clampTo(Math.round(left), 0, photo.width - columns),
    top: clampTo(Math.round(top), 0, photo.height - rows),
    width: columns,
    height: rows,
  };
}

/**
 * Move a box by some pixels.
 * @param {Box} box
 * @param {number} dx
 * @param {number} dy
 * @param {Photo} photo
 */
function moveBox(box, dx, dy, photo) {
  return boxAt(box.left + dx, box.top + dy, box.height, photo);
}

/**
 * Scale a box about its centre by a factor, by at least one pixel.
 * @param {Box} box
 * @param {number} factor
 * @param {Photo} photo
 */
function scaleBox(box, factor, photo) {
  const change = Math.max(1, Math.abs(Math.round(box.height * (factor - 1)))) * Math.sign(factor - 1);
  return centredBox(box.left + box.width / 2, box.top + box.height / 2, box.height + change, photo);
}

/**
 * Return the box of the given height that is centred on a point or, at the edges of the photo, nearest to it.
 * @param {number} x
 * @param {number} y
 * @param {number} height
 * @param {Photo} photo
 */
function centredBox(x, y, height, photo) {
  const rows = clampTo(Math.round(height), photo.smallest, photo.largest);
  return boxAt(x - (rows * photo.ratio) / 2, y - rows / 2, rows, photo);
}

/**
 * Return the box with one corner at a point, and the opposite one as near to another point as the shape allows.
 * @param {[number, number]} fixed
 * @param {[number, number]} point
 * @param {number} right 1 if the box is to the right of the fixed corner, -1 if to its left
 * @param {number} down 1 if the box is below the fixed corner, -1 if above
 * @param {Photo} photo
 */
function boxFrom([fixedX, fixedY], [x, y], right, down, photo) {
  const across = right > 0 ? photo.width - fixedX : fixedX;
  const along = down > 0 ? photo.height - fixedY : fixedY;
  const room = Math.floor(Math.min(along, across / photo.ratio));
  const requested = Math.max(down * (y - fixedY), (right * (x - fixedX)) / photo.ratio);
  const rows = clampTo(Math.round(Math.min(requested, room)), photo.smallest, photo.largest);
  const columns = Math.round(rows * photo.ratio);
  return boxAt(right > 0 ? fixedX : fixedX - columns, down > 0 ? fixedY : fixedY - rows, rows, photo);
}

/**
 * Drag a corner of a box to a point, without moving the opposite corner.
 * @param {Box} box
 * @param {string} corner nw, ne, sw or se
 * @param {[number, number]} point
 * @param {Photo} photo
 */
function stretchBox(box, corner, point, photo) {
  const [right, down] = [corner.includes("e") ? 1 : -1, corner.includes("s") ? 1 : -1];
  const fixedX = right > 0 ? box.left : box.left + box.width;
  const fixedY = down > 0 ? box.top : box.top + box.height;
  return boxFrom([fixedX, fixedY], point, right, down, photo);
}

/**
 * Draw a box from one point to another.
 * @param {[number, number]} from
 * @param {[number, number]} to
 * @param {Photo} photo
 */
function drawnBox(from, to, photo) {
  return boxFrom(from, to, to[0] < from[0] ? -1 : 1, to[1] < from[1] ? -1 : 1, photo);
}

/**
 * Return a new box with the size of the last one, at the position where it overlaps the others least.
 * @param {Box[]} boxes
 * @param {Photo} photo
 */
function anotherBox(boxes, photo) {
  const last = boxes.at(-1);
  if (!last) return centredBox(photo.width / 2, photo.height / 2, 0.8 * photo.largest, photo);
  const middle = (photo.width - last.width) / 2;
  const candidates = Array.from({ length: POSITIONS + 1 }, (_, at) =>
    boxAt((at * (photo.width - last.width)) / POSITIONS, last.top, last.height, photo),
  );
  candidates.sort((one, other) => Math.abs(one.left - middle) - Math.abs(other.left - middle)); // Near the middle first.
  const covered = candidates.map((box) => boxes.reduce((sum, other) => sum + overlap(box, other), 0));
  return candidates[covered.indexOf(Math.min(...covered))];
}

/**
 * Return the number of pixels that two boxes share.
 * @param {Box} one
 * @param {Box} other
 */
function overlap(one, other) {
  const across = Math.min(one.left + one.width, other.left + other.width) - Math.max(one.left, other.left);
  const along = Math.min(one.top + one.height, other.top + other.height) - Math.max(one.top, other.top);
  return Math.max(0, across) * Math.max(0, along);
}

/**
 * Return a text on the position and size of a box, also for screen readers.
 * @param {Box} box
 * @param {number} index index of the box
 * @param {number} count number of boxes
 */
function describeBox(box, index, count) {
  return `Box ${index + 1} of ${count}: ${box.left} from the left, ${box.top} from the top, ${box.width} × ${box.height} pixels`;
}
