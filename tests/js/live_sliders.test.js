import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./load.js";

const { snap } = load(["_shared/dom.js", "_shared/live_store.js", "live_sliders/live_sliders.js"], ["snap"]);

const KEEP_RATE = { low: 0.3, high: 1, step: 0.05 };
const NEIGHBOURS = { low: 1, high: 20, step: 1 };

test("a value snaps to the nearest step, counted from the low end", () => {
  assert.equal(snap(0.512, KEEP_RATE), 0.5);
  assert.equal(snap(0.53, KEEP_RATE), 0.55);
  assert.equal(snap(7.4, NEIGHBOURS), 7);
});

test("a step has no floating-point error", () => {
  assert.equal(snap(0.3 + 6 * 0.05, KEEP_RATE), 0.6);
});

test("a value beyond an end snaps to that end", () => {
  assert.equal(snap(-3, KEEP_RATE), 0.3);
  assert.equal(snap(99, NEIGHBOURS), 20);
});
