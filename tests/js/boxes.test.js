import assert from "node:assert/strict";
import { test } from "node:test";
import { load, plain } from "./load.js";

const { anotherBox, boxAt, centredBox, describeBox, drawnBox, moveBox, overlap, scaleBox, stretchBox } = load(
  ["crop/boxes.js"],
  ["anotherBox", "boxAt", "centredBox", "describeBox", "drawnBox", "moveBox", "overlap", "scaleBox", "stretchBox"],
);
const PHOTO = { width: 1920, height: 1080, ratio: 0.5, smallest: 32, largest: 1080 };
const BOX = { left: 100, top: 200, width: 150, height: 300 };

const isInside = (box, photo = PHOTO) =>
  box.left >= 0 && box.top >= 0 && box.left + box.width <= photo.width && box.top + box.height <= photo.height;

test("a box has whole pixels, the shape of the input, and is inside the photo", () => {
  assert.deepEqual(plain(boxAt(10.4, 20.6, 101, PHOTO)), { left: 10, top: 21, width: 51, height: 101 });
  assert.deepEqual(plain(boxAt(-50, 2000, 200, PHOTO)), { left: 0, top: 880, width: 100, height: 200 });
  assert.deepEqual(plain(boxAt(0, 0, 9999, PHOTO)), { left: 0, top: 0, width: 540, height: 1080 });
  assert.equal(boxAt(0, 0, 1, PHOTO).height, 32);
});

test("moving keeps the size and stops at the edges", () => {
  assert.deepEqual(plain(moveBox(BOX, 10, -20, PHOTO)), { ...BOX, left: 110, top: 180 });
  assert.deepEqual(plain(moveBox(BOX, 9999, 9999, PHOTO)), { ...BOX, left: 1770, top: 780 });
});

test("scaling keeps the centre and also changes small boxes", () => {
  assert.deepEqual(plain(scaleBox(BOX, 1.2, PHOTO)), { left: 85, top: 170, width: 180, height: 360 });
  assert.equal(scaleBox({ ...BOX, width: 16, height: 33 }, 1.01, PHOTO).height, 34);
  assert.equal(scaleBox({ ...BOX, width: 16, height: 32 }, 0.9, PHOTO).height, 32);
});

test("a dragged corner follows the pointer and the opposite corner does not move", () => {
  assert.deepEqual(plain(stretchBox(BOX, "se", [300, 400], PHOTO)), { left: 100, top: 200, width: 200, height: 400 });
  assert.deepEqual(plain(stretchBox(BOX, "nw", [50, 450], PHOTO)), { left: 50, top: 100, width: 200, height: 400 });
  assert.deepEqual(plain(stretchBox(BOX, "ne", [250, 100], PHOTO)), { left: 100, top: 100, width: 200, height: 400 });
});

test("a corner stops at the edges of the photo and at the smallest size", () => {
  for (const corner of ["nw", "ne", "sw", "se"])
    for (const point of [
      [0, 0],
      [1920, 0],
      [0, 1080],
      [1920, 1080],
      [175, 350],
    ]) {
      const box = stretchBox(BOX, corner, point, PHOTO);
      assert.ok(isInside(box), `${corner} ${point}`);
      assert.ok(box.height >= 32 && Math.abs(box.width - box.height / 2) <= 1, `${corner} ${point}`);
    }
  assert.deepEqual(plain(stretchBox(BOX, "se", [0, 0], PHOTO)), { left: 100, top: 200, width: 16, height: 32 });
  assert.equal(stretchBox(BOX, "se", [1920, 1080], PHOTO).height, 880);
});

test("a box can be drawn in every direction", () => {
  const expected = { left: 500, top: 300, width: 100, height: 200 };
  assert.deepEqual(plain(drawnBox([500, 300], [600, 500], PHOTO)), expected);
  assert.deepEqual(plain(drawnBox([600, 500], [500, 300], PHOTO)), expected);
  assert.deepEqual(plain(drawnBox([600, 300], [500, 500], PHOTO)), expected);
});

test("the first box is in the middle, and further boxes overlap as little as possible", () => {
  const boxes = [];
  for (let count = 0; count < 4; count += 1) boxes.push(anotherBox(boxes, PHOTO));
  assert.deepEqual(plain(boxes[0]), { left: 744, top: 108, width: 432, height: 864 });
  for (const box of boxes) assert.ok(isInside(box));
  assert.equal(overlap(boxes[0], boxes[1]), 0);
  assert.equal(overlap(boxes[0], boxes[2]) + overlap(boxes[1], boxes[2]), 0);
});

test("photos narrower than the smallest box can have a box", () => {
  const photo = { width: 12, height: 40, ratio: 0.5, smallest: 24, largest: 24 };
  const box = centredBox(6, 20, 100, photo);
  assert.deepEqual(plain(box), { left: 0, top: 8, width: 12, height: 24 });
  assert.ok(isInside(stretchBox(box, "se", [12, 40], photo), photo));
});

test("an overlap is measured in pixels", () => {
  assert.equal(overlap(BOX, { ...BOX, left: 240, top: 490 }), 10 * 10);
  assert.equal(overlap(BOX, { ...BOX, left: 250 }), 0);
});

test("a label describes position and size of a box", () => {
  assert.equal(describeBox(BOX, 0, 2), "Box 1 of 2: 100 from the left, 200 from the top, 150 × 300 pixels");
});
