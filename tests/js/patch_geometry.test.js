import assert from "node:assert/strict";
import { test } from "node:test";
import { load, plain } from "./load.js";

const { Geometry } = load(["_shared/patch_geometry.js"], ["Geometry"]);

// 2 rows of 3 patches of 16 pixels that do not overlap.
const APART = new Geometry({ rows: 2, columns: 3, stride: 16, patch: 16, width: 48, height: 32 });
// 2 rows of 3 patches of 16 pixels at stride 11, which overlap by 5 pixels.
const OVERLAPPING = new Geometry({ rows: 2, columns: 3, stride: 11, patch: 16, width: 38, height: 27 });

test("cells of patches that do not overlap are the patches", () => {
  assert.equal(APART.count, 6);
  assert.deepEqual(plain(APART.cell(0)), [0, 0, 16, 16]);
  assert.deepEqual(plain(APART.cell(4)), [16, 16, 16, 16]);
});

test("cells of overlapping patches meet halfway between the centres", () => {
  assert.deepEqual([OVERLAPPING.x(0), OVERLAPPING.x(1), OVERLAPPING.x(2)], [8, 19, 30]);
  assert.deepEqual([OVERLAPPING.y(0), OVERLAPPING.y(3)], [8, 19]);
  assert.deepEqual(plain(OVERLAPPING.edges(3, 38)), [0, 13.5, 24.5, 38]);
  assert.deepEqual(plain(OVERLAPPING.cell(1)), [13.5, 0, 11, 13.5]);
  assert.deepEqual(plain(OVERLAPPING.cell(5)), [24.5, 13.5, 13.5, 13.5]);
});

test("cells cover the image exactly once", () => {
  for (const geometry of [APART, OVERLAPPING]) {
    let area = 0;
    for (let index = 0; index < geometry.count; index += 1) {
      const [, , width, height] = geometry.cell(index);
      area += width * height;
    }
    assert.equal(area, geometry.width * geometry.height);
  }
});

test("a point belongs to the patch whose cell contains it", () => {
  assert.equal(OVERLAPPING.at(13.4, 0), 0);
  assert.equal(OVERLAPPING.at(13.6, 0), 1);
  assert.equal(OVERLAPPING.at(30, 20), 5);
  for (let index = 0; index < OVERLAPPING.count; index += 1) {
    assert.equal(OVERLAPPING.at(OVERLAPPING.x(index), OVERLAPPING.y(index)), index);
  }
});

test("a point outside the image belongs to the nearest cell", () => {
  assert.equal(APART.at(-5, -5), 0);
  assert.equal(APART.at(500, 500), 5);
});

test("a patch is named by row and column from 1", () => {
  assert.equal(APART.name(4), "row 2, column 2");
});
