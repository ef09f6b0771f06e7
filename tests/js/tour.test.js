import assert from "node:assert/strict";
import { test } from "node:test";
import { load, plain } from "./load.js";

const { cardPlace } = load(["_shared/dom.js", "tour/tour.js"], ["cardPlace"]);
const VIEW = { width: 1000, height: 700 };
const CARD = { width: 300, height: 150 };

test("the card is below its target if there is space", () => {
  assert.deepEqual(plain(cardPlace({ left: 100, top: 50, right: 400, bottom: 150 }, CARD, VIEW)), [100, 160]);
});

test("the card is above its target if there is no space below", () => {
  assert.deepEqual(plain(cardPlace({ left: 100, top: 500, right: 400, bottom: 690 }, CARD, VIEW)), [100, 340]);
});

test("the card is left or right of a target as tall as the window", () => {
  assert.deepEqual(plain(cardPlace({ left: 600, top: 10, right: 990, bottom: 690 }, CARD, VIEW)), [290, 10]);
  assert.deepEqual(plain(cardPlace({ left: 10, top: 10, right: 400, bottom: 690 }, CARD, VIEW)), [410, 10]);
});

test("the card is always inside the window", () => {
  const [left, top] = cardPlace({ left: 950, top: 600, right: 990, bottom: 690 }, CARD, VIEW);
  assert.ok(left >= 0 && left + CARD.width <= VIEW.width);
  assert.ok(top >= 0 && top + CARD.height <= VIEW.height);
});
