import assert from "node:assert/strict";
import { test } from "node:test";
import { load, plain } from "./load.js";

const FILES = [
  "_shared/dom.js",
  "_shared/colours.js",
  "_shared/live_store.js",
  "_shared/patch_geometry.js",
  "_shared/patch_grid.js",
];
const { ramp, shade, percent, signedColour, VIRIDIS_RAMP } = load(FILES, [
  "ramp",
  "shade",
  "percent",
  "signedColour",
  "VIRIDIS_RAMP",
]);

test("a ramp has even steps from its first to its last colour", () => {
  const grey = ramp(["#000000", "#ffffff"]);
  assert.equal(grey.length, 256);
  assert.deepEqual(plain(grey[0]), [0, 0, 0]);
  assert.deepEqual(plain(grey[100]), [100, 100, 100]);
  assert.deepEqual(plain(grey[255]), [255, 255, 255]);
});

test("viridis begins at #440154 and ends at #fde725", () => {
  assert.deepEqual(plain(VIRIDIS_RAMP[0]), [0x44, 0x01, 0x54]);
  assert.deepEqual(plain(VIRIDIS_RAMP[255]), [0xfd, 0xe7, 0x25]);
});

test("a share below 0 or above 1 has the colour of the nearest end", () => {
  const grey = ramp(["#000000", "#ffffff"]);
  assert.equal(shade(grey, 0.4), "rgba(102, 102, 102, 1)");
  assert.equal(shade(grey, -2, 0.5), "rgba(0, 0, 0, 0.5)");
  assert.equal(shade(grey, 7), "rgba(255, 255, 255, 1)");
});

test("a signed colour is orange above 0, purple below, and clear at 0", () => {
  assert.equal(signedColour(2, 2), "rgba(230, 97, 1, 0.88)");
  assert.equal(signedColour(-1, 2), "rgba(94, 60, 153, 0.44)");
  assert.equal(signedColour(0, 2), "rgba(230, 97, 1, 0)");
  assert.equal(signedColour(0, 0), "rgba(230, 97, 1, 0)");
});

test("a share is formatted in percent", () => {
  assert.equal(percent(0.12345), "12.35 %");
  assert.equal(percent(0.5, 0), "50 %");
});
