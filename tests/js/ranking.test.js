import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { load, plain } from "./load.js";

const FILES = [
  "_shared/dom.js",
  "_shared/live_store.js",
  "_shared/rank_by_distance.js",
  "_shared/card.js",
  "ranking/ranking.js",
];
const { live, byDistance, combined, arrow, ranks, rankedStrip } = load(FILES, [
  "live",
  "byDistance",
  "combined",
  "arrow",
  "ranks",
  "rankedStrip",
]);

// Shortlist of gallery rows 7, 3, 9 and 5, nearest by cosine first. All distances are exact in float32.
const MATCH = {
  indices: [7, 3, 9, 5],
  dCos: Float32Array.of(0.125, 0.25, 0.375, 0.5),
  dEmd: Float32Array.of(0.75, 0.25, 0.125, 0.5),
};
const HEAD = { id: "distance", title: "By D", symbol: "D" };
const SETTINGS = { show: 10, junk: false, chosen: 3 };

const person = (tone) => ({ tone, mark: tone === "match" ? "✓" : "✗", line: "", about: tone, image: "" });

beforeEach(() => {
  live.receive({
    answer: { people: { 7: person("other"), 3: person("match"), 9: person("junk"), 5: person("match") } },
  });
});

test("D is the sum of D_cos and D_EMD, weighted by alpha", () => {
  assert.deepEqual([...combined(MATCH, 0)], [0.125, 0.25, 0.375, 0.5]);
  assert.deepEqual([...combined(MATCH, 1)], [0.75, 0.25, 0.125, 0.5]);
  assert.deepEqual([...combined(MATCH, 0.5)], [0.4375, 0.25, 0.25, 0.5]);
});

test("D is computed in float64 from float32 distances", () => {
  const match = { dCos: Float32Array.of(0.1), dEmd: Float32Array.of(0.7) };
  assert.equal(combined(match, 0.4)[0], (1 - 0.4) * Math.fround(0.1) + 0.4 * Math.fround(0.7));
});

test("the order is by D, and ties keep the order by cosine", () => {
  assert.deepEqual([...byDistance(MATCH, 0)], [0, 1, 2, 3]);
  assert.deepEqual([...byDistance(MATCH, 1)], [2, 1, 3, 0]);
  assert.deepEqual([...byDistance(MATCH, 0.5)], [1, 2, 0, 3]); // Positions 1 and 2 both have D = 0.25.
});

test("an arrow shows by how many ranks a card moved", () => {
  assert.equal(arrow(3, 1), " ↑2");
  assert.equal(arrow(1, 4), " ↓3");
  assert.equal(arrow(2, 2), "");
});

test("junk images have no rank", () => {
  assert.deepEqual(plain([...ranks(MATCH, [2, 1, 3, 0])]), [
    [3, 1],
    [5, 2],
    [7, 3],
  ]);
});

test("a strip hides junk, counts correct hits and marks changed ranks", () => {
  const order = byDistance(MATCH, 1);
  const before = ranks(MATCH, [0, 1, 2, 3]);
  const strip = plain(
    rankedStrip(HEAD, MATCH, order, combined(MATCH, 1), [["cos", MATCH.dCos]], SETTINGS, before, new Set([3])),
  );
  assert.deepEqual(
    strip.cards.map(({ id, title, tag, selected }) => [id, title, tag, selected]),
    [
      ["3", "1 ↑1", "K", true],
      ["5", "2 ↑1", "", false],
      ["7", "3 ↓2", "", false],
    ],
  );
  assert.deepEqual(strip.cards[0].lines, ["D 0.250", "cos 0.250", ""]);
  assert.equal(strip.note, "2 of the top 3 correct · 1 same-camera hidden");
});

test("shown junk images have no rank", () => {
  const strip = rankedStrip(HEAD, MATCH, [2, 1], MATCH.dEmd, [], { ...SETTINGS, junk: true });
  assert.deepEqual(plain(strip.cards.map((card) => card.title)), ["junk", "1"]);
});

test("a strip contains only the requested ranks", () => {
  const strip = rankedStrip(HEAD, MATCH, [0, 1, 2, 3], MATCH.dCos, [], { ...SETTINGS, show: 2 });
  assert.deepEqual(plain(strip.cards.map((card) => card.id)), ["7", "3"]);
});
