"""Walk through the app at random, as hasty visitors do: `python -m tests.load.random_walk --seed 1 --actions 1000`.

Starts a server of its own and drives it in Chromium through all pages: clicks on widgets and components, several clicks
30 ms apart, sliders, keys, text, page changes, Back and Forward, reloads. It stops at the first exception element,
error in the browser's console, traceback in the server's log, or end of the server, prints the seed and the last twenty
actions, and ends with 1. The same seed takes the same decisions as far as the pages are equally fast.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path

from playwright.sync_api import ConsoleMessage, Error, Locator, Page, sync_playwright

from tests.support.server import chromium, server

PAGES = ("Explore", "Learn", "Sweep", "Evaluate", "Atlas", "Lab", "Compare", "Figures", "Data")
RAPID = 30  # ms between rapid clicks
PATIENCE = 2_000  # ms that one action may take before it counts as missed
REST = 90_000  # ms until a page has come to rest; more is an error of its own
REST_EVERY = 10  # actions between two rests, which also look at the server's log
SHOWN = 20  # actions that are printed where something went wrong
KEYS = ("Tab", "Enter", "Escape", "Space", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End", "p", "/")
TEXTS = ("", "0001", "query", "0.5", "-1", "1e999", "日本", "<b>x</b>", "' OR 1", "../..", "x" * 300)
WIDGETS = (
    "[data-testid='stButton'] button, [data-testid='stCheckbox'] label, [data-testid='stTabs'] [role='tab'],"
    "[data-testid='stButtonGroup'] button, [data-testid='stRadio'] label, [data-testid='stExpander'] summary,"
    "[data-testid='stPopover'] button, [data-testid='stToggle'] label, [data-card], [role='tab']"
)
COMPONENTS = "[data-testid='stBidiComponentRegular'], [data-testid^='stBidi'], canvas, svg"
# Of a page that was left while it loaded; and what Streamlit first asks of a page's folder, then of the app's.
FOREIGN = re.compile(r"WebSocket|net::ERR_|/_stcore/(health|host-config)$")


class Walk:
    """One walk. fault: what went wrong, empty so far.  actions: the last ones, in words."""

    def __init__(self, page: Page, address: str, seed: int) -> None:
        """Begin on the first page.

        Args:
            page: A fresh page of the browser.
            address: Of the app.
            seed: Of all decisions.
        """
        self.page, self.address, self.rng = page, address, random.Random(seed)
        self.actions: deque[str] = deque(maxlen=SHOWN)
        self.counts: Counter[str] = Counter()
        self.missed = 0
        self.complaints: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("console", self._hear_console)
        page.on("pageerror", lambda error: self._hear(f"uncaught: {error}"))
        page.on("dialog", lambda dialog: dialog.dismiss())
        page.goto(address, timeout=REST)
        self.rest()

    def step(self) -> None:
        """Do one random action and check the page."""
        kinds: dict[Callable[[], str], int] = {
            self.click: 30,
            self.click_rapidly: 12,
            self.slide: 14,
            self.point: 12,
            self.press: 8,
            self.choose: 6,
            self.type: 4,
            self.change_page: 7,
            self.go_back_or_forward: 5,
            self.reload: 2,
        }
        act = self.rng.choices(list(kinds), weights=list(kinds.values()))[0]
        self.counts[act.__name__] += 1
        self.actions.append(f"{act.__name__} …")
        try:
            self.actions[-1] = f"{act.__name__} {act()}"
        except Error as error:  # what it was about to use is gone, hidden or covered
            self.missed += 1
            self.actions[-1] += f" missed: {str(error).splitlines()[0][:100]}"
        if not self.page.url.startswith(self.address):  # Back led out of the app
            self.page.goto(self.address, timeout=REST)
        self.page.wait_for_timeout(self.rng.choice((0, 0, 30, 100, 400)))

    def rest(self) -> None:
        """Wait until no script runs; report an app that never stops as a fault."""
        try:
            self.page.wait_for_function(
                "() => document.querySelector('.stApp')?.dataset.testScriptState === 'notRunning'", timeout=REST
            )
        except Error:
            self._hear(f"the page did not come to rest within {REST // 1000} s")

    @property
    def fault(self) -> str:
        """Return what the page shows or the browser reports that it must not, or an empty text."""
        try:
            shown = self.page.get_by_test_id("stException")
            if shown.count():
                return f"an exception on the page: {shown.first.inner_text()[:300]}"
        except Error:  # the page is being loaded
            return self.complaints[0] if self.complaints else ""
        return self.complaints[0] if self.complaints else ""

    def click(self) -> str:
        """Click a widget."""
        widget = self._any(WIDGETS)
        words = _words(widget)
        widget.click(no_wait_after=True)
        return words

    def click_rapidly(self) -> str:
        """Click one position several times, faster than the app can answer."""
        widget, times = self._any(WIDGETS), self.rng.randint(2, 8)
        words = _words(widget)
        x, y = self._inside(widget)
        for _ in range(times):
            self.page.mouse.click(x, y)
            self.page.wait_for_timeout(RAPID)
        return f"{times} times {words}"

    def slide(self) -> str:
        """Move a slider by keys or by dragging it."""
        slider = self._any("input[type='range'], [role='slider']")
        words = _words(slider)
        if self.rng.random() < 0.5:
            key, times = self.rng.choice(("ArrowLeft", "ArrowRight", "Home", "End", "PageUp")), self.rng.randint(1, 12)
            slider.focus()
            for _ in range(times):
                self.page.keyboard.press(key)
            return f"{words} {times} times {key}"
        x, y = self._inside(slider)
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        for _ in range(self.rng.randint(1, 15)):
            self.page.mouse.move(x + self.rng.randint(-200, 200), y + self.rng.randint(-5, 5))
        if self.rng.random() < 0.1:
            self.page.keyboard.press("Escape")
        self.page.mouse.up()
        return f"{words} dragged"

    def point(self) -> str:
        """Move over, click or drag anywhere in a component."""
        x, y = self._inside(self._any(COMPONENTS))
        self.page.mouse.move(x, y)
        how = self.rng.choice(("hover", "click", "double click", "right click", "drag"))
        match how:
            case "click":
                self.page.mouse.click(x, y)
            case "double click":
                self.page.mouse.dblclick(x, y)
            case "right click":
                self.page.mouse.click(x, y, button="right")
            case "drag":
                self.page.mouse.down()
                self.page.mouse.move(x + self.rng.randint(-150, 150), y + self.rng.randint(-80, 80), steps=5)
                self.page.mouse.up()
        return f"{how} at {x:.0f}, {y:.0f}"

    def press(self) -> str:
        """Press some keys wherever the focus is."""
        keys = self.rng.choices(KEYS, k=self.rng.randint(1, 6))
        for key in keys:
            self.page.keyboard.press(key)
        return " ".join(keys)

    def choose(self) -> str:
        """Choose another option of a list."""
        box, down = self._any("[data-testid='stSelectbox'] input, [data-testid='stMultiSelect'] input"), 0
        words = _words(box)
        box.click()
        for down in range(1, self.rng.randint(2, 9)):  # noqa: B007  used below
            self.page.keyboard.press("ArrowDown")
        self.page.keyboard.press("Enter")
        return f"{words} {down} down"

    def type(self) -> str:
        """Type something into a field."""
        field, text = self._any("input[type='text'], input[type='number'], textarea"), self.rng.choice(TEXTS)
        field.fill(text)
        self.page.keyboard.press(self.rng.choice(("Enter", "Tab")))
        return text[:20]

    def change_page(self) -> str:
        """Go to another page with the navigation."""
        name = self.rng.choice(PAGES)
        self.page.get_by_role("link", name=name, exact=True).first.click(no_wait_after=True)
        return name

    def go_back_or_forward(self) -> str:
        """Go through the browser's history."""
        back, times = self.rng.random() < 0.7, self.rng.choice((1, 1, 1, 2, 3))
        for _ in range(times):
            go = self.page.go_back if back else self.page.go_forward
            go(wait_until="commit")
        return f"{'back' if back else 'forward'} {times} times"

    def reload(self) -> str:
        """Reload the page."""
        self.page.reload(wait_until="commit")
        return ""

    def _any(self, selector: str) -> Locator:
        """One that is seen. Raises Error where there is none."""
        matches = self.page.locator(selector).locator("visible=true")
        count = matches.count()
        if not count:
            raise Error(f"nothing to be seen of {selector[:40]}")
        return matches.nth(self.rng.randrange(count))

    def _inside(self, locator: Locator) -> tuple[float, float]:
        locator.scroll_into_view_if_needed()
        box = locator.bounding_box()
        if box is None:
            raise Error("it is gone")
        return box["x"] + self.rng.random() * box["width"], box["y"] + self.rng.random() * box["height"]

    def _hear_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._hear(f"{message.text} {message.location.get('url', '')}")

    def _hear(self, text: str) -> None:
        if not FOREIGN.search(text):
            self.complaints.append(f"the browser's console: {text[:500]}")


def _words(locator: Locator) -> str:
    """Return a widget's label."""
    text = locator.get_attribute("aria-label") or locator.inner_text() or locator.get_attribute("data-card") or ""
    return " ".join(text.split())[:50]


def traceback_in(log: Path) -> str:
    """Return the end of the first traceback in a server's log, or an empty text."""
    _, traceback, rest = log.read_text(encoding="utf-8", errors="replace").partition(
        "Traceback (most recent call last)"
    )
    return rest[-1_500:] if traceback else ""


def walk(
    page: Page, address: str, seed: int, actions: int, log: Path | None = None, *, calm: bool = False
) -> tuple[Walk, str]:
    """Take so many actions, or as many as go well.

    Args:
        page: A fresh page of the browser.
        address: Of the app.
        seed: Of all decisions.
        actions: How many.
        log: The server's, looked at now and then.
        calm: Let the page come to rest after every action.

    Returns:
        The walk, and what went wrong, else an empty text.
    """
    taken, fault = Walk(page, address, seed), ""
    for number in range(1, actions + 1):
        taken.step()
        if calm or number % REST_EVERY == 0 or number == actions:
            taken.rest()
            if log is not None and (traceback := traceback_in(log)):
                fault = f"the server's log: {traceback}"
        fault = fault or taken.fault
        if fault:
            return taken, f"after {number} actions, {fault}"
    return taken, ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the walk of the command line; return 0 if nothing went wrong."""
    parser = argparse.ArgumentParser(prog="tests.load.random_walk", description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--actions", type=int, default=1_000)
    options = parser.parse_args(arguments)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "log"
        with path.open("wb") as log, server(log, {"FPC_CACHE": str(Path(folder) / "cache")}) as (address, _, _):
            browser = chromium(playwright)
            page = browser.new_page(viewport={"width": 1280, "height": 1000}, accept_downloads=False)
            taken, fault = walk(page, address, options.seed, options.actions, path)
            browser.close()
    done = ", ".join(f"{count} {name}" for name, count in taken.counts.most_common())
    print(f"seed {options.seed}: {done}; {taken.missed} missed; {time.perf_counter() - began:.0f} s")
    if fault:
        print(f"FAULT {fault}\nthe last actions:")
        print("\n".join(f"  {each}" for each in taken.actions))
        print(f"again: python -m tests.load.random_walk --seed {options.seed} --actions {options.actions}")
    return 1 if fault else 0


if __name__ == "__main__":
    sys.exit(main())
