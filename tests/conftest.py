"""What every test module needs."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import hypothesis
import pytest

import fpc_core  # noqa: F401  declares torchvision's operators before torchmetrics or timm import it
from fpc_core.workspace import Places
from tests.browsing import open_demo, settle

ROOT = Path(__file__).resolve().parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# Timings are benchmarks, not tests. With CI set the same examples are tried every time, so that no change is refused
# for what it did not cause; others are tried wherever people work.
hypothesis.settings.register_profile("untimed", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden-figures", action="store_true", help="write tests/golden/figures anew; look at them")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What drives a browser comes first and in one process, beside one that does the rest: `make test`."""
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.xdist_group("browser"))
    items.sort(key=lambda item: item.get_closest_marker("browser") is None)


@pytest.fixture(scope="session")
def small_places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """A complete small workspace, built once; tests must not write into it."""
    from tests.small_world import build_world

    return build_world(tmp_path_factory.mktemp("small_world"))


@pytest.fixture
def small_world_in_use(small_places, monkeypatch):
    """The app opens the small world in place of the demo."""
    monkeypatch.setenv("FPC_DATA", str(small_places.data))
    monkeypatch.setenv("FPC_WEIGHTS", str(small_places.weights))
    monkeypatch.setenv("FPC_MEMORY", str(small_places.memory))


@pytest.fixture(scope="session")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
        own = playwright.chromium.executable_path
        if found is None and not Path(own).is_file():
            pytest.skip(f"no Chromium: none of {', '.join(BROWSERS)} on the path, none downloaded by Playwright")
        sandbox = [] if os.name == "nt" or os.getuid() else ["--no-sandbox"]  # Chromium refuses to sandbox root
        browser = playwright.chromium.launch(executable_path=found or own, args=sandbox)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def url(tmp_path_factory):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path_factory.mktemp("app") / "log").open("wb")
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", "--server.port", str(port)]
    own = {**os.environ, "FPC_CACHE": str(tmp_path_factory.mktemp("cache"))}
    server = subprocess.Popen([*command, "--server.address", "127.0.0.1"], cwd=ROOT, stdout=log, stderr=log, env=own)
    address = f"http://127.0.0.1:{port}"
    for _ in range(240):
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5):
                break
        except (urllib.error.URLError, OSError):
            time.sleep(0.25)
    yield address
    server.terminate()
    server.wait(20)
    log.close()


@pytest.fixture
def page(browser, url):
    """A fresh visitor at 1280 px on the loaded page; afterwards, not one error in the console."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    complaints = []

    def note(message):
        if message.type == "error":
            complaints.append(f"{message.text} {message.location.get('url', '')}")

    page.on("console", note)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    open_demo(page, url)
    yield page
    settle(page)
    assert page.get_by_test_id("stException").count() == 0
    page.close()
    assert complaints == []
