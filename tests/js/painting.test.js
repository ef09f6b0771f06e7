import assert from "node:assert/strict";
import { test } from "node:test";
import { load, plain } from "./load.js";

const { ALL, MAX_UNDO, Painting, afterBrush, isDroppedAt, patchesBetween } = load(
  ["masks/painting.js"],
  ["ALL", "MAX_UNDO", "Painting", "afterBrush", "isDroppedAt", "patchesBetween"],
);
const LAYERS = 3;

/** Return a painting of 2 rows of 3 patches, of which the model drops only the last. */
function started() {
  const painting = new Painting(LAYERS);
  painting.start([3, 3, 3, 3, 3, 1]);
  return painting;
}

test("a patch is dropped in the mask of the layer that drops it and in all later ones", () => {
  assert.deepEqual(
    [0, 1, 2, ALL].map((layer) => isDroppedAt(1, layer, LAYERS)),
    [false, true, true, true],
  );
  assert.equal(isDroppedAt(3, ALL, LAYERS), false);
});

test("dropping does not change earlier masks, and keeping does not change later ones", () => {
  for (const layer of [0, 1, 2])
    for (let survived = 0; survived <= LAYERS; survived += 1)
      for (const drops of [true, false]) {
        const after = afterBrush(survived, layer, drops, LAYERS);
        assert.equal(isDroppedAt(after, layer, LAYERS), drops);
        for (const other of [0, 1, 2].filter((each) => (drops ? each < layer : each > layer)))
          assert.equal(isDroppedAt(after, other, LAYERS), isDroppedAt(survived, other, LAYERS));
      }
});

test("a stroke on the first image drops or keeps patches in all layers", () => {
  assert.equal(afterBrush(2, ALL, true, LAYERS), 0);
  assert.equal(afterBrush(1, ALL, false, LAYERS), 3);
});

test("a line has no gaps if the pointer moves fast", () => {
  assert.deepEqual(plain(patchesBetween(0, 15, 4)), [0, 5, 10, 15]);
  assert.deepEqual(plain(patchesBetween(3, 0, 4)), [3, 2, 1, 0]);
  assert.deepEqual(plain(patchesBetween(6, 6, 4)), [6]);
});

test("a stroke drops if its first patch was kept, keeps if it was dropped, and can be undone", () => {
  const painting = started();
  painting.begin(0, 1);
  painting.extend(2, 3);
  painting.extend(5, 3);
  assert.equal(painting.end(), true);
  assert.deepEqual(plain(painting.survived), [1, 1, 1, 3, 3, 1]);
  painting.begin(5, ALL);
  painting.extend(0, 3);
  painting.end();
  assert.deepEqual(plain(painting.survived), [3, 1, 1, 3, 3, 3]);
  assert.equal(painting.undo(), true);
  assert.deepEqual(plain(painting.survived), [1, 1, 1, 3, 3, 1]);
  assert.equal(painting.undo(), true);
  assert.deepEqual(plain(painting.survived), [3, 3, 3, 3, 3, 1]);
  assert.equal(painting.undo(), false);
});

test("a stroke that changes nothing leaves nothing to undo", () => {
  const painting = started();
  painting.begin(5, 0);
  painting.cancel();
  assert.deepEqual(plain(painting.survived), [3, 3, 3, 3, 3, 1]);
  assert.equal(painting.replace([3, 3, 3, 3, 3, 1]), false);
  assert.equal(painting.undo(), false);
});

test("the last patch cannot be dropped", () => {
  const painting = started();
  painting.begin(0, ALL);
  for (const patch of [2, 5, 3]) painting.extend(patch, 3);
  painting.end();
  painting.begin(3, ALL);
  painting.end();
  assert.equal(painting.survived.filter((count) => count === LAYERS).length, 1);
});

test("all patches can be replaced, and the history has a maximum length", () => {
  const painting = started();
  for (let turn = 0; turn < MAX_UNDO + 20; turn += 1)
    painting.replace(turn % 2 ? [3, 3, 3, 3, 3, 3] : [0, 3, 3, 3, 3, 3]);
  assert.equal(painting.history.length, MAX_UNDO);
  painting.stop();
  assert.equal(painting.survived, null);
  assert.equal(painting.undo(), false);
});
