"""Drives the Explore page of the demo in Chromium: the app as a process, and what a visitor's hands do."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def launch(playwright):
    """A headless Chromium; raises FileNotFoundError, saying what was looked for, where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None and not Path(playwright.chromium.executable_path).is_file():
        raise FileNotFoundError(f"no Chromium: none of {', '.join(NAMES)} on the path, none downloaded by Playwright")
    sandbox = [] if os.name == "nt" or os.getuid() else ["--no-sandbox"]  # Chromium refuses to sandbox root
    return playwright.chromium.launch(executable_path=found or playwright.chromium.executable_path, args=sandbox)


@contextmanager
def running_app(log):
    """The app on a free port, as a process of its own; yields its address. log: path for what it prints."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", "--server.port", str(port)]
    with log.open("wb") as out:
        server = subprocess.Popen([*command, "--server.address", "127.0.0.1"], cwd=ROOT, stdout=out, stderr=out)
        try:
            yield wait_until_healthy(f"http://127.0.0.1:{port}")
        finally:
            server.terminate()
            server.wait(20)


def wait_until_healthy(address):
    for _ in range(240):
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5):
                break
        except (urllib.error.URLError, OSError):
            time.sleep(0.25)
    return address


def opened(page, url):
    """Goes to the page and waits until its last section stands and the script has ended."""
    page.set_default_timeout(60_000)
    page.goto(url)
    page.locator("[data-card^='heat/']").first.wait_for()
    settle(page)
    return page


def settle(page):
    """Until the script has run to its end."""
    page.wait_for_timeout(400)
    page.wait_for_function("document.querySelector('.stApp').dataset.testScriptState === 'notRunning'")
    page.wait_for_timeout(200)


def order(page, strip):
    return page.locator(f"[data-card^='{strip}/']").evaluate_all("cards => cards.map(card => card.dataset.card)")


def captions(page, strip):
    return page.locator(f"[data-card^='{strip}/'] .caption").all_inner_texts()


def dial(page, name):
    return page.get_by_test_id("stSidebar").get_by_role("slider", name=name)


def move(page, name, key, times):
    """Move a dial of the sidebar by keyboard and wait for the server's answer."""
    thumb = dial(page, name)
    thumb.focus()
    for _ in range(times):
        thumb.press(key)
    settle(page)


@contextmanager
def dragging(page, name, share):
    """Hold a dial's thumb dragged to `share` of its track; let go at the end."""
    box = dial(page, name).bounding_box()
    now, low, high = dial(page, name).evaluate("input => [input.valueAsNumber, +input.min, +input.max]")
    y, thumb = box["y"] + box["height"] / 2, 16  # the thumb's centre stays half its width inside the track

    def x(part):
        return box["x"] + thumb / 2 + part * (box["width"] - thumb)

    page.mouse.move(x((now - low) / (high - low)), y)
    page.mouse.down()
    page.mouse.move(x(share), y, steps=25)
    page.wait_for_timeout(60)
    yield
    page.mouse.up()
    settle(page)
