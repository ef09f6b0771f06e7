import assert from "node:assert/strict";
import { test } from "node:test";
import { load, plain } from "./load.js";

const FILES = ["dom", "live_store", "patch_geometry", "patch_grid"].map((name) => `_shared/${name}.js`);
const { Geometry, totals, costRange, heaviestFlows, sumText } = load(
  [...FILES, "transport/flows.js", "transport/transport.js"],
  ["Geometry", "totals", "costRange", "heaviestFlows", "sumText"],
);

// 1 row of 2 patches. The query kept only patch 1, whose weight moves to gallery patches 0 (0.25) and 1 (0.75).
const GEOMETRY = new Geometry({ rows: 1, columns: 2, stride: 16, patch: 16, width: 32, height: 16 });
const PAIR = { kept: [1], plan: Float32Array.of(0.25, 0.75), cost: Float32Array.of(0.5, 0.25) };

test("weights and costs of query and gallery patches have the same sums", () => {
  const sums = totals(PAIR, GEOMETRY);
  assert.deepEqual(plain([...sums.query.mass]), [0, 1]);
  assert.deepEqual(plain([...sums.gallery.mass]), [0.25, 0.75]);
  assert.deepEqual(plain([...sums.gallery.emd]), [0.125, 0.1875]);
  assert.equal(sums.emd, 0.3125);
  assert.deepEqual(plain([...sums.rowOf]), [-1, 0]);
});

test("the expected target is the mean of the centres, weighted by the plan", () => {
  assert.deepEqual(plain([...totals(PAIR, GEOMETRY).targets]), [0.25 * 8 + 0.75 * 24, 8]);
});

test("the colour scale covers the costs of all patches between which weight moves", () => {
  const [low, high] = costRange(PAIR, 1);
  assert.equal(low, 0.25);
  assert.ok(high > 0.5 && high < 0.51);
});

test("flows are sorted by weight in descending order", () => {
  assert.deepEqual(plain(heaviestFlows(Float32Array.of(0.1, 0.4, 0.2))), [1, 2, 0]);
});

test("the sum of all contributions is D_EMD, and a plan that moves nothing is explained", () => {
  assert.equal(sumText(totals(PAIR, GEOMETRY), 0.3125), "Sum of all patch contributions 0.3125 = D_EMD 0.3125");
  const empty = { ...PAIR, plan: Float32Array.of(0, 0) };
  assert.match(sumText(totals(empty, GEOMETRY), 1), /no weight moves and D_EMD is set to 1.0000$/);
});
