import assert from "node:assert/strict";
import { test } from "node:test";
import { load, plain } from "./load.js";

const FILES = ["_shared/dom.js", "_shared/live_store.js", "_shared/rank_by_distance.js", "alpha_chart/alpha_chart.js"];
const { ticks, distanceRange, distanceAt } = load(FILES, ["ticks", "distanceRange", "distanceAt"]);

const MATCH = { dCos: Float32Array.of(0, 0.25, 1), dEmd: Float32Array.of(0.5, 0.25, 1) };

test("D changes linearly with alpha from D_cos to D_EMD", () => {
  assert.deepEqual(
    [0, 0.5, 1].map((alpha) => distanceAt(MATCH, 0, alpha)),
    [0, 0.25, 0.5],
  );
});

test("the range contains the first ranks at every alpha, with a margin", () => {
  const [low, high] = distanceRange(MATCH, [0, 1, 2], 2);
  assert.ok(Math.abs(low - (0 - 0.06 * 0.5)) < 1e-12); // The lowest D is 0, at alpha 0.
  assert.ok(Math.abs(high - (0.5 + 0.06 * 0.5)) < 1e-12); // The highest D of rank 2 is 0.5, at alpha 1.
});

test("the range is valid for fewer images than ranks", () => {
  const [low, high] = distanceRange(MATCH, [2], 10);
  assert.ok(low < 1 && high > 1);
});

test("ticks are round numbers inside the range", () => {
  assert.deepEqual(plain(ticks(0, 1)), [0, 0.5, 1]);
  assert.deepEqual(plain(ticks(0.03, 0.11)), [0.04, 0.06, 0.08, 0.1]);
  assert.deepEqual(plain(ticks(0.1, 0.5)), [0.1, 0.2, 0.3, 0.4, 0.5]);
});
