import assert from "node:assert/strict";
import { test } from "node:test";
import { load, plain } from "./load.js";

const NAMES = [
  "angleTo",
  "boxOf",
  "describeShape",
  "moveShape",
  "rotateShape",
  "scaleShape",
  "stretchShape",
  "thinLine",
];
const scene = load(["_shared/dom.js", "occluder/scene.js", "occluder/shapes.js"], NAMES);

const BOX = { kind: "rectangle", x: 0.5, y: 0.5, width: 0.4, height: 0.2, rotation: 0, colour: "#808080" };
const STROKE = {
  kind: "stroke",
  width: 0.1,
  colour: "#808080",
  points: [
    [0.2, 0.4],
    [0.6, 0.8],
  ],
};
const SIZE = [100, 200];

test("the box of a stroke encloses its points", () => {
  const { x, y, width, height, rotation } = scene.boxOf(STROKE);
  for (const [value, expected] of [
    [x, 0.4],
    [y, 0.6],
    [width, 0.4],
    [height, 0.4],
    [rotation, 0],
  ])
    assert.ok(Math.abs(value - expected) < 1e-12);
});

test("moving keeps the size and rounds to four digits", () => {
  assert.deepEqual(plain(scene.moveShape(BOX, 0.1, -0.20001)), { ...BOX, x: 0.6, y: 0.3 });
  assert.deepEqual(plain(scene.moveShape(STROKE, 0.1, 0).points), [
    [0.3, 0.4],
    [0.7, 0.8],
  ]);
});

test("a centre can't leave the reachable range", () => {
  assert.equal(scene.moveShape(BOX, 9, 0).x, 1.5);
  assert.equal(scene.moveShape(BOX, -9, 0).x, -0.5);
});

test("scaling keeps the centre, and the size has limits", () => {
  assert.deepEqual(plain(scene.scaleShape(BOX, 2, 0.5)), { ...BOX, width: 0.8, height: 0.1 });
  assert.equal(scene.scaleShape(BOX, 1e-6, 1).width, 0.02);
  assert.equal(scene.scaleShape(BOX, 1e6, 1).width, 3);
});

test("scaling a stroke scales its brush by the mean of both sides", () => {
  const scaled = scene.scaleShape(STROKE, 4, 1);
  assert.deepEqual(plain(scaled.points), [
    [-0.4, 0.4],
    [1.2, 0.8],
  ]);
  assert.equal(scaled.width, 0.2);
});

test("a rotation is between -180 and 180 degrees", () => {
  assert.equal(scene.rotateShape(BOX, 90, 2).rotation, 90);
  assert.equal(scene.rotateShape({ ...BOX, rotation: 170 }, 20, 2).rotation, -170);
});

test("a stroke rotates in pixels, not in fractions of the image size", () => {
  const upright = {
    ...STROKE,
    points: [
      [0.5, 0.4],
      [0.5, 0.6],
    ],
  };
  // The image has 200 x 100 pixels, so 0.1 of its height is 20 pixels, or 0.2 of its width.
  assert.deepEqual(plain(scene.rotateShape(upright, 90, 2).points), [
    [0.7, 0.5],
    [0.3, 0.5],
  ]);
});

test("the angle to a point is measured from the centre, in pixels", () => {
  assert.equal(scene.angleTo([70, 100], BOX, SIZE), 0);
  assert.equal(scene.angleTo([50, 120], BOX, SIZE), 90);
});

test("a dragged corner follows the pointer and the opposite corner does not move", () => {
  // The box has 40 x 40 pixels around (50, 100), with the corners nw at (30, 80) and se at (70, 120).
  const grown = scene.stretchShape(BOX, "se", [90, 160], false, SIZE);
  assert.deepEqual(plain(grown), { ...BOX, x: 0.6, y: 0.6, width: 0.6, height: 0.4 });
  const even = scene.stretchShape(BOX, "se", [90, 130], true, SIZE);
  assert.deepEqual(plain(even), { ...BOX, x: 0.6, y: 0.55, width: 0.6, height: 0.3 });
});

test("a thinned line keeps its ends", () => {
  const line = Array.from({ length: 11 }, (_, index) => [index, 0]);
  assert.deepEqual(plain(scene.thinLine(line, 3)), [
    [0, 0],
    [5, 0],
    [10, 0],
  ]);
  assert.equal(scene.thinLine(line, 11), line);
});

test("a label describes kind, position, size and rotation of a shape", () => {
  assert.equal(
    scene.describeShape({ ...BOX, rotation: 15 }, 0, 2),
    "Rectangle, 1 of 2 · centre 50 % across, 50 % down · 40 % × 20 % · rotated 15°",
  );
});
