"""Perform random actions in the app, like an impatient visitor: `python -m tests.load.random_walk --actions 2000`.

The script starts its own server and drives it in Chromium over all pages: clicks on widgets and components, several
clicks 30 ms apart, sliders, keys, text, page changes, Back, Forward and reloads. It stops at the first exception on the
page, error in the browser's console, traceback in the server's log, lost setting, or end of the server. Then it prints
the seed and the last twenty actions, and exits with 1. With the same seed it makes the same choices as long as pages
load equally fast. The memory of server and page is printed for each tenth of the actions.
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
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import ConsoleMessage, Error, Locator, Page, sync_playwright

from tests.support.browser import TRACK_MESSAGES, settle
from tests.support.server import chromium, resident, server

PAGES = ("Explore", "Learn", "Sweep", "Evaluate", "Atlas", "Lab", "Compare", "Figures", "Data")
# Pages that share their settings, with the prefix of the query parameters.
PREFIXES = {"Explore": "", "Learn": "", "Lab": "l_", "Evaluate": "e_", "Atlas": "at_", "Compare": "a_"}
SETTINGS = ("alpha", "k", "drop", "variant", "solver", "epsilon")
RAPID = 30  # Milliseconds between rapid clicks.
ACTION_TIMEOUT = 2_000  # Milliseconds after which an action counts as missed.
SETTLE_TIMEOUT = 90_000  # Milliseconds until a page must be idle.
SETTLE_EVERY = 10  # Number of actions between two waits for an idle page, after which the server's log is checked.
STATE_EVERY = 50  # Number of actions between two checks that settings survive a page change, Back and a reload.
PRINTED = 20  # Number of the last actions that are printed after an error.
KEYS = ("Tab", "Enter", "Escape", "Space", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End", "p", "/")
TEXTS = ("", "0001", "query", "0.5", "-1", "1e999", "日本", "<b>x</b>", "' OR 1", "../..", "x" * 300)
WIDGETS = (
    "[data-testid='stButton'] button, [data-testid='stCheckbox'] label, [data-testid='stTabs'] [role='tab'],"
    "[data-testid='stButtonGroup'] button, [data-testid='stRadio'] label, [data-testid='stExpander'] summary,"
    "[data-testid='stPopover'] button, [data-testid='stToggle'] label, [data-card], [role='tab']"
)
COMPONENTS = "[data-testid='stBidiComponentRegular'], [data-testid^='stBidi'], canvas, svg"
# Errors of requests that a page change has cancelled, and of two requests that Streamlit first sends to a wrong path.
IGNORED = re.compile(r"WebSocket|net::ERR_|/_stcore/(health|host-config)$")


class Walk:
    """Random actions on one browser page.

    Attributes:
        actions: Descriptions of the last actions.
        counts: Number of actions of each kind.
        missed: Number of actions whose element was gone, hidden or covered.
        errors: Errors that the browser reported.
    """

    def __init__(self, page: Page, address: str, seed: int) -> None:
        """Open the first page.

        Args:
            page: New page of the browser.
            address: Address of the app.
            seed: Seed of all random choices.
        """
        self.page, self.address, self.rng = page, address, random.Random(seed)
        self.actions: deque[str] = deque(maxlen=PRINTED)
        self.counts: Counter[str] = Counter()
        self.missed = 0
        self.errors: list[str] = []
        page.set_default_timeout(ACTION_TIMEOUT)
        page.add_init_script(TRACK_MESSAGES)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self._report(f"uncaught: {error}"))
        page.on("dialog", lambda dialog: dialog.dismiss())
        page.goto(address, timeout=SETTLE_TIMEOUT)
        self.settle()

    def step(self) -> None:
        """Perform one random action."""
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
        self.actions.append(act.__name__)
        try:
            self.actions[-1] = f"{act.__name__} {act()}"
        except Error as error:  # The element is gone, hidden or covered.
            self.missed += 1
            self.actions[-1] += f" missed: {str(error).splitlines()[0][:100]}"
        if not self.page.url.startswith(self.address):  # Back has left the app.
            self.page.goto(self.address, timeout=SETTLE_TIMEOUT)
        self.page.wait_for_timeout(self.rng.choice((0, 0, 30, 100, 400)))

    def settle(self) -> None:
        """Wait until no script runs, and report a page that is never idle."""
        self.page.set_default_timeout(SETTLE_TIMEOUT)
        try:
            self.page.wait_for_selector(".stApp")
            settle(self.page)
        except Error:
            self._report(f"the page was not idle within {SETTLE_TIMEOUT // 1000} s")
        finally:
            self.page.set_default_timeout(ACTION_TIMEOUT)

    def check_state(self) -> None:
        """Report settings that are lost by a page change, by Back, or by a reload.

        The page must be idle. On pages without the shared settings, nothing is checked.
        """
        here = next((name for name in PREFIXES if self._is_at(name)), None)
        if here is None:
            return
        expected = self._settings(here)
        there = self.rng.choice([name for name in PREFIXES if name != here])
        self.actions.append(f"check_state from {here} to {there}")
        try:
            self._open(there)
            self._expect(expected, there, f"on {there}, opened from {here}")
            self.page.go_back(wait_until="commit", timeout=SETTLE_TIMEOUT)
            self.page.wait_for_url(lambda _: self._is_at(here), timeout=SETTLE_TIMEOUT)
            self.settle()
            self._expect(expected, here, f"on {here}, after Back from {there}")
            self.page.reload(wait_until="commit", timeout=SETTLE_TIMEOUT)
            self.settle()
            self._expect(expected, here, f"on {here}, after a reload")
        except Error as error:  # A dialog covers the navigation.
            self.missed += 1
            self.actions[-1] += f" missed: {str(error).splitlines()[0][:100]}"

    @property
    def error(self) -> str:
        """The first error on the page or in the browser's console, or an empty text."""
        try:
            shown = self.page.get_by_test_id("stException")
            if shown.count():
                return f"an exception on the page: {shown.first.inner_text()[:300]}"
        except Error:  # The page is being loaded.
            return self.errors[0] if self.errors else ""
        return self.errors[0] if self.errors else ""

    def _open(self, name: str) -> None:
        self.page.get_by_role("link", name=name, exact=True).first.click()
        self.page.wait_for_url(lambda _: self._is_at(name), timeout=SETTLE_TIMEOUT)
        self.settle()

    def _is_at(self, name: str) -> bool:
        return urlsplit(self.page.url).path.strip("/") == ("" if name == "Explore" else name.lower())

    def _settings(self, name: str) -> dict[str, list[str]]:
        params, prefix = parse_qs(urlsplit(self.page.url).query), PREFIXES[name]
        gamma = params.get(f"{prefix}gamma", ["1.0" if name == "Compare" else "0.8"])
        settings = {each: params[prefix + each] for each in SETTINGS if prefix + each in params}
        return settings | {"gamma": [f"{float(gamma[0]):g}"]}

    def _expect(self, expected: dict[str, list[str]], name: str, where: str) -> None:
        if (found := self._settings(name)) != expected:
            self._report(f"settings are {found} {where}, but were {expected}")

    def click(self) -> str:
        """Click a widget."""
        widget = self._any(WIDGETS)
        label = _label(widget)
        widget.click(no_wait_after=True)
        return label

    def click_rapidly(self) -> str:
        """Click one position several times, faster than the app can answer."""
        widget, times = self._any(WIDGETS), self.rng.randint(2, 8)
        label = _label(widget)
        x, y = self._inside(widget)
        for _ in range(times):
            self.page.mouse.click(x, y)
            self.page.wait_for_timeout(RAPID)
        return f"{times} times {label}"

    def slide(self) -> str:
        """Move a slider with keys or the pointer."""
        slider = self._any("input[type='range'], [role='slider']")
        label = _label(slider)
        if self.rng.random() < 0.5:
            key, times = self.rng.choice(("ArrowLeft", "ArrowRight", "Home", "End", "PageUp")), self.rng.randint(1, 12)
            slider.focus()
            for _ in range(times):
                self.page.keyboard.press(key)
            return f"{label} {times} times {key}"
        x, y = self._inside(slider)
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        for _ in range(self.rng.randint(1, 15)):
            self.page.mouse.move(x + self.rng.randint(-200, 200), y + self.rng.randint(-5, 5))
        if self.rng.random() < 0.1:
            self.page.keyboard.press("Escape")
        self.page.mouse.up()
        return f"{label} dragged"

    def point(self) -> str:
        """Hover, click or drag at a random position in a component."""
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
        """Press random keys."""
        keys = self.rng.choices(KEYS, k=self.rng.randint(1, 6))
        for key in keys:
            self.page.keyboard.press(key)
        return " ".join(keys)

    def choose(self) -> str:
        """Choose another option of a list."""
        box, down = self._any("[data-testid='stSelectbox'] input, [data-testid='stMultiSelect'] input"), 0
        label = _label(box)
        box.click()
        for down in range(1, self.rng.randint(2, 9)):  # noqa: B007  The last value is used below.
            self.page.keyboard.press("ArrowDown")
        self.page.keyboard.press("Enter")
        return f"{label} {down} down"

    def type(self) -> str:
        """Type a text into a field."""
        field, text = self._any("input[type='text'], input[type='number'], textarea"), self.rng.choice(TEXTS)
        field.fill(text)
        self.page.keyboard.press(self.rng.choice(("Enter", "Tab")))
        return text[:20]

    def change_page(self) -> str:
        """Open another page with the navigation."""
        name = self.rng.choice(PAGES)
        self.page.get_by_role("link", name=name, exact=True).first.click(no_wait_after=True)
        return name

    def go_back_or_forward(self) -> str:
        """Go back or forward in the browser's history."""
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
        """Return a random visible element.

        Raises:
            Error: No element of this selector is visible.
        """
        matches = self.page.locator(selector).locator("visible=true")
        count = matches.count()
        if not count:
            raise Error(f"no visible element {selector[:40]}")
        return matches.nth(self.rng.randrange(count))

    def _inside(self, locator: Locator) -> tuple[float, float]:
        locator.scroll_into_view_if_needed()
        box = locator.bounding_box()
        if box is None:
            raise Error("the element is gone")
        return box["x"] + self.rng.random() * box["width"], box["y"] + self.rng.random() * box["height"]

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not IGNORED.search(error := f"{message.text} {message.location.get('url', '')}"):
            self._report(f"the browser's console: {error}")

    def _report(self, error: str) -> None:
        self.errors.append(error[:500])


def _label(locator: Locator) -> str:
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
    page: Page,
    address: str,
    seed: int,
    actions: int,
    log: Path | None = None,
    *,
    wait_each: bool = False,
    progress: Callable[[int], None] = lambda number: None,
) -> tuple[Walk, str]:
    """Perform random actions, and stop after the first error.

    Args:
        page: New page of the browser.
        address: Address of the app.
        seed: Seed of all random choices.
        actions: Number of actions.
        log: The server's log, which is searched for tracebacks.
        wait_each: Whether to wait for an idle page after every action.
        progress: Callback that receives the number of actions, whenever the page is idle.

    Returns:
        The walk, and a description of the error, or an empty text.
    """
    taken, error = Walk(page, address, seed), ""
    for number in range(1, actions + 1):
        taken.step()
        if wait_each or number % SETTLE_EVERY == 0 or number == actions:
            taken.settle()
            if number % STATE_EVERY == 0:
                taken.check_state()
            progress(number)
            if log is not None and (traceback := traceback_in(log)):
                error = f"the server's log: {traceback}"
        error = error or taken.error
        if error:
            return taken, f"after {number} actions, {error}"
    return taken, ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 if no error was found."""
    parser = argparse.ArgumentParser(prog="tests.load.random_walk", description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--actions", type=int, default=1_000)
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "log"
        with path.open("wb") as log, server(log, {"FPC_CACHE": str(Path(folder) / "cache")}) as (address, _, process):
            browser = chromium(playwright, "--enable-precise-memory-info")
            page = browser.new_page(viewport={"width": 1280, "height": 1000}, accept_downloads=False)

            def progress(number: int) -> None:
                if number % max(SETTLE_EVERY, options.actions // 10) == 0:
                    heap = page.evaluate("performance.memory.usedJSHeapSize") / 2**20
                    print(f"{number} actions: server {resident(process):.0f} MB, page {heap:.0f} MB", flush=True)

            taken, error = walk(page, address, options.seed, options.actions, path, progress=progress)
            browser.close()
    counts = ", ".join(f"{count} {name}" for name, count in taken.counts.most_common())
    print(f"seed {options.seed}: {counts}; {taken.missed} missed; {time.perf_counter() - start:.0f} s")
    if error:
        print(f"ERROR {error}\nThe last actions:")
        print("\n".join(f"  {each}" for each in taken.actions))
        print(f"To repeat it: python -m tests.load.random_walk --seed {options.seed} --actions {options.actions}")
    return 1 if error else 0


if __name__ == "__main__":
    sys.exit(main())
