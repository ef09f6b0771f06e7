"""The Explore page of the demo, driven in Chromium as a visitor would: choose, move every slider, upload."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser
ROOT = Path(__file__).resolve().parent.parent
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        found = next((path for name in NAMES if (path := shutil.which(name))), None)
        own = playwright.chromium.executable_path
        if found is None and not Path(own).is_file():
            pytest.skip(f"no Chromium: none of {', '.join(NAMES)} on the path, none downloaded by Playwright")
        sandbox = [] if os.name == "nt" or os.getuid() else ["--no-sandbox"]  # Chromium refuses to sandbox root
        browser = playwright.chromium.launch(executable_path=found or own, args=sandbox)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path_factory.mktemp("app") / "log").open("wb")
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", "--server.port", str(port)]
    server = subprocess.Popen([*command, "--server.address", "127.0.0.1"], cwd=ROOT, stdout=log, stderr=log)
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
    page.set_default_timeout(60_000)
    complaints = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(url)
    page.locator("[data-card^='heat/']").first.wait_for()
    yield page
    settle(page)
    assert page.get_by_test_id("stException").count() == 0
    page.close()
    assert complaints == []


def settle(page):
    """Until the script has run to its end."""
    page.wait_for_timeout(400)
    page.wait_for_function("document.querySelector('.stApp').dataset.testScriptState === 'notRunning'")
    page.wait_for_timeout(200)


def order(page, strip):
    return page.locator(f"[data-card^='{strip}/']").evaluate_all("cards => cards.map(card => card.dataset.card)")


def captions(page, strip):
    return page.locator(f"[data-card^='{strip}/'] .caption").all_inner_texts()


def move(page, slider, key, times):
    """Move a slider of the sidebar by keyboard."""
    thumb = page.get_by_test_id("stSidebar").get_by_role("slider", name=slider)
    thumb.focus()
    for _ in range(times):
        thumb.press(key)
    settle(page)


def test_a_click_on_a_thumbnail_chooses_the_query(page):
    before = order(page, "distance")
    card = page.locator("[data-card^='queries/']").nth(6)
    path = card.get_attribute("data-card").removeprefix("queries/")
    card.click()
    settle(page)
    assert "query=" in page.url
    assert page.locator(f"[data-card='queries/{path}']").get_attribute("aria-pressed") == "true"
    assert order(page, "distance") != before


def test_the_keep_rate_changes_masks_and_ranks(page):
    masks, ranks = captions(page, "masks"), captions(page, "distance")
    move(page, "Keep rate", "ArrowLeft", 6)
    assert "gamma=0.5" in page.url
    assert captions(page, "masks") != masks
    assert captions(page, "distance") != ranks


def test_alpha_changes_the_order_by_d_and_leaves_the_order_by_cosine(page):
    by_cosine, by_distance = order(page, "cosine"), order(page, "distance")
    move(page, "Weight of transport", "End", 1)
    assert "alpha=1" in page.url
    assert order(page, "cosine") == by_cosine
    assert order(page, "distance") != by_distance
    assert "reused" in page.get_by_test_id("stPlotlyChart").first.inner_text()


def test_k_changes_the_consolidated_ranks_and_leaves_the_order_by_d(page):
    by_distance, final = order(page, "distance"), captions(page, "final")
    move(page, "Neighbours K", "Home", 1)
    assert "k=1" in page.url
    assert order(page, "distance") == by_distance
    assert captions(page, "final") != final
    assert len(order(page, "heat")) == 1


def test_a_click_on_a_neighbour_shows_its_transport(page):
    card = page.locator("[data-card^='distance/']").nth(3)
    row = card.get_attribute("data-card").removeprefix("distance/")
    card.click()
    settle(page)
    assert f"neighbor={row}" in page.url
    assert page.locator(f"[data-card='distance/{row}']").get_attribute("aria-pressed") == "true"


def test_attention_can_be_shown_in_place_of_grad_cam(page):
    def pictures():
        return page.locator("[data-card^='heat/'] img").evaluate_all("images => images.map(image => image.src)")

    before = pictures()
    page.get_by_role("radio", name="attention").click()
    settle(page)
    assert pictures() != before
    assert page.get_by_text("attention of [cls] per patch").is_visible()


def test_a_bad_upload_gets_words_and_loses_nothing(page, tmp_path):
    before = order(page, "distance")
    note = tmp_path / "note.txt"
    note.write_text("no image")
    page.locator("input[type=file]").set_input_files(note)
    page.get_by_test_id("stAlert").get_by_text("note.txt").wait_for()
    settle(page)
    assert order(page, "distance") == before


def test_a_phone_needs_no_sideways_scrolling_of_the_page(browser, url):
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto(url)
    page.locator("[data-card^='heat/']").first.wait_for(timeout=60_000)
    settle(page)
    assert page.evaluate("document.scrollingElement.scrollWidth <= window.innerWidth")
    page.close()
