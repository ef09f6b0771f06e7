import assert from "node:assert/strict";
import { test } from "node:test";
import { load, plain } from "./load.js";

const { Geometry, droppedEdges } = load(
  ["_shared/patch_geometry.js", "_shared/dropped_patches.js"],
  ["Geometry", "droppedEdges"],
);
// 2 rows of 3 patches of 16 pixels that do not overlap.
const GRID = new Geometry({ rows: 2, columns: 3, stride: 16, patch: 16, width: 48, height: 32, pruned: "outline" });

test("a dropped patch has four edges", () => {
  const edges = droppedEdges(GRID, (index) => index === 4);
  assert.deepEqual(plain(edges), [
    [16, 16, 32, 16],
    [16, 32, 32, 32],
    [16, 16, 16, 32],
    [32, 16, 32, 32],
  ]);
});

test("neighbouring dropped patches have no edge between them", () => {
  assert.equal(droppedEdges(GRID, (index) => index === 0 || index === 1).length, 6);
  assert.equal(droppedEdges(GRID, () => true).length, 10);
  assert.equal(droppedEdges(GRID, () => false).length, 0);
});
