import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./load.js";

const FILES = ["_shared/dom.js", "_shared/live_store.js"];
const { LiveStore, MAX_IMAGES, decodeFloats } = load(FILES, ["LiveStore", "MAX_IMAGES", "decodeFloats"]);

test("base64 is decoded as float32", () => {
  const bytes = Buffer.from(Float32Array.of(1, -0.5, 256).buffer);
  assert.deepEqual([...decodeFloats(bytes.toString("base64"))], [1, -0.5, 256]);
});

test("the match at a keep rate is from the answer or from a grid with the same key", () => {
  const store = new LiveStore();
  assert.equal(store.match(), null);
  store.receive({ answer: { key: "a", gamma: 0.8, match: "answered" } });
  store.preview({ gamma: 0.8 });
  assert.equal(store.match(), "answered");
  store.preview({ gamma: 0.5 });
  assert.equal(store.match(), null);
  store.receive({ grid: { key: "a", matches: new Map([[0.5, "computed"]]) } });
  assert.equal(store.match(), "computed");
  store.receive({ grid: { key: "b", matches: new Map([[0.5, "another query"]]) } });
  assert.equal(store.match(), null);
});

test("a match by hand is valid at every keep rate, after the sliders are mounted", () => {
  const store = new LiveStore();
  store.receive({ answer: { key: "a", gamma: 0.8, byHand: true, match: "by hand" } });
  assert.equal(store.match(), null);
  store.preview({ gamma: 0.5, alpha: 0.4, k: 10 });
  assert.equal(store.match(), "by hand");
});

test("the oldest images are removed, and an image that is sent again counts as new", () => {
  const store = new LiveStore();
  store.addImages(Object.fromEntries(Array.from({ length: MAX_IMAGES }, (_, index) => [`g${index}`, "x"])));
  store.addImages({ g0: "again", one_more: "x" });
  assert.equal(store.images.size, MAX_IMAGES);
  assert.equal(store.images.get("g0"), "again");
  assert.ok(!store.images.has("g1"));
});
