import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./load.js";

const NAMES = ["navigation", "repeatUntilAnswered", "location", "performance"];

/** @param {string} href @param {object} keys held during the click */
const click = (href, keys = {}) => ({
  target: { closest: () => ({ getAttribute: (name) => (name === "href" ? href : null) }) },
  ...keys,
});

test("nothing is sent between the click on a page link and that page", () => {
  const { navigation, repeatUntilAnswered, location } = load(["_shared/dom.js"], NAMES);
  let sent = 0;
  const send = () => (sent += 1);
  navigation().note(click("/data"));
  repeatUntilAnswered({}, send);
  assert.equal(sent, 0);
  location.pathname = "/data";
  repeatUntilAnswered({}, send);
  assert.equal(sent, 1);
});

test("a navigation that never arrives blocks messages for 15 seconds only", () => {
  const { navigation, performance } = load(["_shared/dom.js"], NAMES);
  navigation().note(click("/data"));
  performance.now = () => 14_999;
  assert.equal(navigation().pending, true);
  performance.now = () => 15_000;
  assert.equal(navigation().pending, false);
});

test("links to the current page, other sites and new tabs block nothing", () => {
  const { navigation } = load(["_shared/dom.js"], NAMES);
  for (const event of [click("/?query=1"), click("https://elsewhere/data"), click("/data", { ctrlKey: true })]) {
    navigation().note(event);
    assert.equal(navigation().pending, false);
  }
});
