"""Measure how long the server takes to answer a stroke that drops patches by hand, in headless Chromium on the demo.

`python -m benchmarks.prune_by_hand [--strokes N]` draws N different strokes on the masks of Explore. The time of a
stroke begins when the pointer is released and ends when the rankings of the server's answer are painted. The time of
"transport" ends when the whole page is updated, including the open transport plan. The same number of releases of the
alpha slider is timed for comparison; `benchmarks.live` measures them alone.
"""

from __future__ import annotations

import argparse
import random

from playwright.sync_api import Page, sync_playwright

from benchmarks.live import FILLED, READY, release, row, settle
from tests.support.server import chromium, server

GOAL = 250  # Milliseconds from the end of a stroke to its painted answer, at p95.
GRIDS = ("all", "layer0", "layer1", "layer2")
# This script records when the pointer was released, and when the answer to the patches on screen was painted, which is
# two frames after the live store has received it.
WATCH = """() => {
  const root = [...document.querySelectorAll('.st-key-masks *')].map((node) => node.shadowRoot).find(Boolean);
  const { editor } = root.querySelector('.strips');
  window.strokes = { start: null, painted: null };
  addEventListener('pointerup', () => {
    const start = performance.now();
    strokes.painted = null;
    const look = () => {
      const wanted = editor.painting.survived?.join();
      if (editor.painting.stroke || fpcLive.answer.match.survived.join() !== wanted) return requestAnimationFrame(look);
      requestAnimationFrame(() => requestAnimationFrame(() => { strokes.painted = performance.now() - start; }));
    };
    requestAnimationFrame(look);
  }, true);
}"""
SETTLED = (
    "!document.querySelector('.st-key-paint-ack') && "
    "document.querySelector('.stApp').dataset.testScriptState === 'notRunning'"
)


def stroke(page: Page, generator: random.Random) -> tuple[float, float]:
    """Draw a stroke between two random patches, and return the milliseconds until rankings and page are updated."""
    box = page.locator(f"[data-grid='{generator.choice(GRIDS)}']").bounding_box()
    assert box is not None
    points = []
    for _ in range(2):
        across, down = generator.uniform(0.05, 0.95), generator.uniform(0.02, 0.98)
        points.append((box["x"] + box["width"] * across, box["y"] + box["height"] * down))
    page.mouse.move(*points[0])
    page.mouse.down()
    page.mouse.move(*points[1], steps=5)
    page.mouse.up()
    page.wait_for_function("strokes.painted !== null", polling="raf")
    painted = page.evaluate("strokes.painted")
    began = page.evaluate("performance.now()")
    page.wait_for_function(SETTLED, polling="raf")
    return painted, painted + page.evaluate("performance.now()") - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strokes", type=int, default=40, help="number of strokes")
    strokes = parser.parse_args().strokes
    generator = random.Random(0)
    with sync_playwright() as playwright, server() as (address, _, _):
        page = chromium(playwright).new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(300_000)
        page.goto(address)
        page.locator(READY).first.wait_for()
        page.wait_for_function(FILLED)
        settle(page)
        alphas = release(page, [{"alpha": round(generator.uniform(0, 1), 2)} for _ in range(strokes)])
        page.get_by_role("button", name="Prune by hand").click()
        page.wait_for_function("fpcLive.answer.byHand")
        settle(page)
        page.evaluate(WATCH)
        times = []
        for _ in range(strokes):
            times.append(stroke(page, generator))
            settle(page)
        print("| after a stroke, ms | goal | median | p95 | max |  |\n|---|---|---|---|---|---|")
        print(row("rankings painted", str(GOAL), [painted for painted, _ in times], f"{strokes} strokes"))
        print(row("for comparison: alpha released", str(GOAL), alphas, f"{strokes} moves"))
        print(row("transport plan and tabs", "-", [settled for _, settled in times]))


if __name__ == "__main__":
    main()
