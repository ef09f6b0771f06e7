"""What every test module needs."""

import hypothesis
import pytest

import fpc_core  # noqa: F401  declares torchvision's operators before torchmetrics or timm import it
from fpc_core.workspace import Places

hypothesis.settings.register_profile("untimed", deadline=None)  # timings are benchmarks, not tests
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def small_places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """A complete small workspace, built once; tests must not write into it."""
    from tests.small_world import build_world

    return build_world(tmp_path_factory.mktemp("small_world"))


@pytest.fixture(scope="session")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    from tests.browser_app import launch

    with api.sync_playwright() as playwright:
        try:
            browser = launch(playwright)
        except FileNotFoundError as error:
            pytest.skip(str(error))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def url(tmp_path_factory):
    """Where the app shows the demo, one server for all tests."""
    from tests.browser_app import running_app

    with running_app(tmp_path_factory.mktemp("app") / "log") as address:
        yield address


@pytest.fixture
def page(browser, url):
    """A fresh visitor at 1280 px on the loaded page; afterwards, not one error in the console."""
    from tests.browser_app import opened, settle

    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    complaints = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened(page, url)
    settle(page)
    assert page.get_by_test_id("stException").count() == 0
    page.close()
    assert complaints == []
