import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./load.js";

const FILES = ["_shared/dom.js", "page_history/navigation.js"];
const NAMES = ["window", "history", "repeatUntilAnswered", "location", "performance"];

/**
 * Return an event of a click on a link.
 * @param {string} href
 * @param {object} keys state of the modifier keys, such as `ctrlKey`
 */
const click = (href, keys = {}) => ({
  target: { closest: () => ({ getAttribute: (name) => (name === "href" ? href : null) }) },
  ...keys,
});

test("after a click on a page link, nothing is sent until the page is open", () => {
  const { window, repeatUntilAnswered, location } = load(FILES, NAMES);
  let sent = 0;
  const send = () => (sent += 1);
  window.fpcNavigation.recordClick(click("/data"));
  repeatUntilAnswered({}, send);
  assert.equal(sent, 0);
  location.pathname = "/data";
  repeatUntilAnswered({}, send);
  assert.equal(sent, 1);
});

test("a navigation that never ends blocks messages for only 15 seconds", () => {
  const { window, performance } = load(FILES, NAMES);
  window.fpcNavigation.recordClick(click("/data"));
  performance.now = () => 14_999;
  assert.equal(window.fpcNavigation.pending, true);
  performance.now = () => 15_000;
  assert.equal(window.fpcNavigation.pending, false);
});

test("links to the current page, other sites and new tabs block no messages", () => {
  const { window } = load(FILES, NAMES);
  for (const event of [click("/?query=1"), click("https://elsewhere/data"), click("/data", { ctrlKey: true })]) {
    window.fpcNavigation.recordClick(event);
    assert.equal(window.fpcNavigation.pending, false);
  }
});

test("a click on a page link adds one entry to the history", () => {
  const { window, history, location } = load(FILES, NAMES);
  window.fpcNavigation.recordClick(click("/lab?l_gamma=0.7"));
  history.pushState(null, "", "/?l_gamma=0.7");
  history.pushState(null, "", "/lab?l_gamma=0.7");
  assert.deepEqual(history.entries, ["/", "/lab?l_gamma=0.7"]);
  location.pathname = "/lab";
  window.fpcNavigation.act();
  history.pushState(null, "", "/lab?l_gamma=0.6");
  assert.deepEqual(history.entries, ["/", "/lab?l_gamma=0.7", "/lab?l_gamma=0.6"]);
});

test("the link to the first page has an empty path, with or without parameters", () => {
  for (const href of ["", "?gamma=0.7"]) {
    const { window, history, location } = load(FILES, NAMES);
    location.pathname = "/evaluate";
    location.href = "http://app/evaluate";
    window.fpcNavigation.recordClick(click(href));
    assert.equal(window.fpcNavigation.pending, true);
    history.pushState(null, "", "/evaluate?gamma=0.7");
    history.pushState(null, "", "/?gamma=0.7");
    assert.equal(history.entries.at(-1), "/?gamma=0.7");
    assert.ok(!history.entries.includes("/evaluate?gamma=0.7"));
  }
});

test("a choice adds one entry, however many parameters the server then changes", () => {
  const { window, history } = load(FILES, NAMES);
  window.fpcNavigation.act();
  for (const address of ["/?a_alpha=0", "/?a_alpha=0&b_gamma=1.0", "/?a_alpha=0&b_gamma=1.0&b_k=5"])
    history.pushState(null, "", address);
  assert.deepEqual(history.entries, ["/", "/?a_alpha=0&b_gamma=1.0&b_k=5"]);
});

test("a setting that a widget writes to the address adds an entry, other parameters do not", () => {
  const { window, history } = load(FILES, NAMES);
  window.fpcNavigation.act();
  history.replaceState(null, "", "/?tab=Why");
  history.replaceState(null, "", "/?b_gamma=0.6");
  history.replaceState(null, "", "/?b_gamma=0.7"); // The same drag.
  assert.deepEqual(history.entries, ["/?tab=Why", "/?b_gamma=0.7"]);
  for (const address of ["/?b_weights=demo/model.pth", "/?c_query=a.png", "/?drop=random"]) {
    window.fpcNavigation.act();
    history.replaceState(null, "", address);
    assert.equal(history.entries.at(-1), address);
  }
  assert.equal(history.entries.length, 5);
});

test("changes without an action of the visitor, on opening or after Back, add no entry", () => {
  const { window, history } = load(FILES, NAMES);
  history.pushState(null, "", "/?k=5");
  assert.deepEqual(history.entries, ["/?k=5"]);
  window.fpcNavigation.act();
  window.fpcNavigation.goBackOrForward();
  history.pushState(null, "", "/?k=6");
  history.replaceState(null, "", "/?k=7");
  assert.deepEqual(history.entries, ["/?k=7"]);
});
