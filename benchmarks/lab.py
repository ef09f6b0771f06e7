"""Measure the delay from moving an occluder to the updated masks, in headless Chromium: `python -m benchmarks.lab`.

In a single move, the pointer moves once and stops. In a drag, it moves for a third of a second and stops while still
pressed. The delay is the time from the last move to the masks for that position, so it includes the interval between
two scenes that are sent. For a release, it ends with the consolidated strip of the new scene.
"""

from __future__ import annotations

import argparse
from typing import Any

from playwright.sync_api import Page, sync_playwright

from benchmarks.live import row, settle
from tests.support.server import chromium, server

# Records the time of the last pointer move and release, and the times at which new masks or new hits were drawn.
WATCH = """() => {
  const roots = () => [...document.querySelectorAll('*')].map((node) => node.shadowRoot).filter(Boolean);
  const masks = roots().map((root) => root.querySelector('.strips')).find((strips) => strips?.querySelector('canvas'));
  const watch = (window.watch = { moved: 0, let: 0, masks: [], hits: [] });
  addEventListener('pointermove', (event) => (watch.moved = event.timeStamp), true);
  addEventListener('pointerup', (event) => (watch.let = event.timeStamp), true);
  let [drawn, shown] = [masks.drawn, null];
  const look = () => {
    if (masks.drawn && masks.drawn !== drawn) watch.masks.push(performance.now());
    drawn = masks.drawn ?? drawn;
    const final = roots().map((root) => root.querySelector("[data-strip='final-occluded']")).find(Boolean);
    const text = final?.innerText;
    if (shown !== null && text !== shown) watch.hits.push(performance.now());
    shown = text;
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}"""


def open_lab(page: Page, address: str) -> tuple[float, float]:
    """Open the Lab, add a rectangle, and return the position of its centre on the page."""
    page.goto(f"{address}/lab")
    page.get_by_text("Which image region matters most?").wait_for()
    settle(page)
    page.get_by_role("button", name="Rectangle", exact=True).click()
    settle(page)
    box = page.locator("[data-shape='0']").bounding_box()
    assert box is not None
    page.evaluate(WATCH)
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def last(page: Page, since: str, what: str) -> float:
    """Wait until no event of a kind happens for a second, and return when the last one happened.

    Args:
        page: Page of the Lab.
        since: Name of the moment from which time is counted.
        what: Name of the list of events.

    Returns:
        Milliseconds from `since` to the last event.
    """
    page.wait_for_function(f"watch.{what}.length && performance.now() - watch.{what}.at(-1) > 1000")
    values: dict[str, Any] = page.evaluate("watch")
    time = values[what][-1] - values[since]
    page.evaluate(f"watch.{what} = []")
    return time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--moves", type=int, default=40, help="number of moves and of drags; there are a quarter as many releases"
    )
    moves = parser.parse_args().moves
    with sync_playwright() as playwright, server() as (address, _, _):
        browser = chromium(playwright)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(300_000)
        x, y = open_lab(page, address)
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 1, y)
        page.wait_for_timeout(1500)
        single, dragged, released = [], [], []
        for at in range(moves):
            page.evaluate("watch.masks = []")
            page.mouse.move(x + 30 * (-1) ** at, y + (at * 37 % 120) - 60)
            single.append(last(page, "moved", "masks"))
        for at in range(moves):
            page.evaluate("watch.masks = []")
            for step in range(20):
                page.mouse.move(x + 30 * (-1) ** at + step, y + (at * 37 % 120) - 60 + step)
                page.wait_for_timeout(16)
            dragged.append(last(page, "moved", "masks"))
        page.mouse.up()
        settle(page)
        for at in range(max(1, moves // 4)):
            box = page.locator("[data-shape='0']").bounding_box()
            assert box is not None
            page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            page.mouse.down()
            page.mouse.move(x + 20 * (-1) ** at, y + (at * 53 % 160) - 80, steps=8)
            page.wait_for_timeout(800)
            page.evaluate("watch.hits = []")
            page.mouse.up()
            page.wait_for_timeout(1500)
            settle(page)
            if page.evaluate("watch.hits.length"):
                released.append(last(page, "let", "hits"))
        browser.close()
    print("| ms | goal | median | p95 | worst | note |\n|---|---|---|---|---|---|")
    print(row("one move to its masks", "p95 500", single, f"{len(single)} moves"))
    print(row("last move of a drag to its masks", "p95 500", dragged, f"{len(dragged)} drags"))
    print(row("release to the new hits", "-", released, f"{len(released)} releases that changed them"))


if __name__ == "__main__":
    main()
