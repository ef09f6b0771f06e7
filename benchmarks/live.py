"""Measure how long visitors wait, in headless Chromium on the demo: `python -m benchmarks.live [--moves N]`.

The benchmark starts its own server, so that its first page is the first page of a new server. "Frame" is the time
between two animation frames while a slider is dragged. "Script" is the part of it in which the page's own code runs;
the rest is layout, painting and idle time. The time of a release ends when the consolidated strip of the server's
answer is painted.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from typing import Any

from playwright.sync_api import Page, sync_playwright

from tests.support.server import chromium, resident, server

READY = ".st-key-transport .sum"
FILLED = "window.fpcLive?.pairs && fpcLive.grid?.key === fpcLive.answer.key && fpcLive.pairs.key === fpcLive.answer.key"

# Records the duration of frames, and the script time of each by wrapping the callbacks in which live views run.
WATCH = """() => {
  const watch = (window.watch = { frames: [], scripts: [], on: true });
  const paint = fpcLive.dispatchEvent.bind(fpcLive);
  fpcLive.dispatchEvent = (event) => {
    const start = performance.now();
    const result = paint(event);
    watch.scripts.push(performance.now() - start);
    return result;
  };
  let last = performance.now();
  const tick = (now) => {
    watch.frames.push(now - last);
    last = now;
    if (watch.on) requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}"""
UNWATCH = """() => {
  watch.on = false;
  delete fpcLive.dispatchEvent;
  return [watch.frames.slice(2), watch.scripts];
}"""
# Resolves when the consolidated strip that answers `requested` is painted, which is two frames after it is updated.
ANSWERED = """(requested) => new Promise((done) => {
  const start = performance.now();
  const look = () => {
    const { answer } = fpcLive;
    const final = [...document.querySelectorAll('.st-key-ranking *')].map((node) => node.shadowRoot).find(Boolean);
    const stale = final.querySelector("[data-strip='final']").classList.contains("stale");
    if (Object.entries(requested).every(([name, value]) => answer[name] === value) && !stale)
      return requestAnimationFrame(() => done(performance.now() - start));
    requestAnimationFrame(look);
  };
  fpcLive.commit(requested);
  requestAnimationFrame(look);
})"""


def drag(page: Page, name: str, traffic: list[int]) -> tuple[list[float], list[float], int]:
    """Drag a slider from end to end and back.

    Args:
        page: Page of Explore.
        name: Label of the slider.
        traffic: List that grows by one item with every websocket message.

    Returns:
        Milliseconds of each frame, milliseconds of script in each frame, and the number of websocket messages.
    """
    thumb = page.locator(".st-key-sliders").get_by_role("slider", name=name)
    box = thumb.bounding_box()
    assert box is not None
    rest(page, traffic)
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, y)
    page.mouse.down()
    page.evaluate(WATCH)
    before = len(traffic)
    for share in [*range(50, 98), *range(98, 3, -1), *range(3, 50)]:
        page.mouse.move(box["x"] + box["width"] * share / 100, y)
    frames, scripts = page.evaluate(UNWATCH)
    messages = len(traffic) - before
    page.mouse.up()
    settle(page)
    return frames, scripts, messages


def rest(page: Page, traffic: list[int]) -> None:
    """Wait until no message has arrived for a second, so that later messages belong to the drag."""
    seen = -1
    while seen != len(traffic):
        seen = len(traffic)
        page.wait_for_timeout(1000)


def settle(page: Page) -> None:
    page.wait_for_timeout(600)
    page.wait_for_function("document.querySelector('.stApp').dataset.testScriptState === 'notRunning'")


def release(page: Page, moves: list[dict[str, Any]]) -> list[float]:
    """Release sliders, one after another, on an idle page.

    Args:
        page: Page of Explore.
        moves: Values of sliders for each release, by their name in the page's live store.

    Returns:
        Milliseconds from each release to its painted answer.
    """
    times = []
    for move in moves:
        times.append(page.evaluate(ANSWERED, move))
        settle(page)
    return times


def memory(page: Page, process: int) -> tuple[float, float]:
    """Return the memory in MB of the server and of the page's scripts, after garbage collection."""
    page.context.new_cdp_session(page).send("HeapProfiler.collectGarbage")
    return resident(process), page.evaluate("performance.memory.usedJSHeapSize") / 2**20


def row(what: str, goal: str, values: list[float], note: str = "") -> str:
    ordered = sorted(values)
    high = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return f"| {what} | {goal} | {statistics.median(values):.1f} | {high:.1f} | {max(values):.1f} | {note} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moves", type=int, default=20, help="number of releases of each kind")
    parser.add_argument("--random", type=int, default=100, help="number of random moves after which memory is measured")
    parser.add_argument("--wait", type=float, default=0, help="seconds between the start of the server and the visit")
    arguments = parser.parse_args()
    moves = arguments.moves
    with sync_playwright() as playwright, server() as (address, started, process):
        browser = chromium(playwright, "--enable-precise-memory-info")
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(300_000)
        traffic: list[int] = []

        def listen(websocket: Any) -> None:
            websocket.on("framesent", lambda frame: traffic.append(len(frame)))
            websocket.on("framereceived", lambda frame: traffic.append(len(frame)))

        page.on("websocket", listen)
        time.sleep(arguments.wait)
        began = time.perf_counter() if arguments.wait else started
        page.goto(address)
        page.get_by_role("heading", name="FPC Explorer").wait_for()
        painted = time.perf_counter() - began
        page.locator("[data-card^='final/']").first.wait_for()
        ranked = time.perf_counter() - began
        page.locator(READY).first.wait_for()
        complete = time.perf_counter() - began
        page.wait_for_function(FILLED)
        filled = time.perf_counter() - began
        settle(page)

        since = (
            f"the first visit, {arguments.wait:g} s after the start" if arguments.wait else "the start of the server"
        )
        print(f"| from {since} | goal, s | s |\n|---|---|---|")
        print(f"| first paint (title) | 2 | {painted:.1f} |\n| consolidated strip | 8 | {ranked:.1f} |")
        print(f"| whole page, with Grad-CAM | 8 | {complete:.1f} |\n| keep-rate grid filled | - | {filled:.1f} |\n")
        print("| ms | goal | median | p95 | worst | note |\n|---|---|---|---|---|---|")
        for name in ("Patch-matching weight", "Keep rate"):
            frames, scripts, messages = drag(page, name, traffic)
            print(row(f"{name} dragged: frame", "16.7", frames, f"{len(frames)} frames, {messages} messages"))
            print(row(f"{name} dragged: script", "16", scripts))
        alphas = [{"alpha": round(0.05 + 0.9 * (at * 7 % moves) / moves, 4)} for at in range(moves)]
        print(row("alpha released to consolidated strip", "p95 250", release(page, alphas), f"{moves} moves"))
        gammas = [{"gamma": round(0.3 + 0.05 * (at * 4 % 15), 4)} for at in range(min(moves, 15))]
        print(row("keep rate released, on the grid", "-", release(page, gammas), f"{len(gammas)} moves"))
        odd = [{"gamma": round(0.33 + 0.65 * (at * 7 % moves) / moves, 3)} for at in range(moves)]
        print(
            row("keep rate released, off the grid, to masks and strip", "p95 400", release(page, odd), f"{moves} moves")
        )
        rng = random.Random(0)
        print("\n| memory, MB | server | page |\n|---|---|---|")
        for at in range(arguments.random + 1):
            if at in (0, arguments.random // 2, arguments.random):
                server_size, page_size = memory(page, process)
                print(f"| after {at} random moves | {server_size:.0f} | {page_size:.0f} |")
            gamma = round(0.3 + 0.05 * rng.randrange(15), 4)
            release(page, [{"gamma": gamma, "alpha": round(rng.random(), 2), "k": rng.randint(1, 20)}])
        browser.close()


if __name__ == "__main__":
    main()
