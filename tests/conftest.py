"""What every test module needs."""

import os
from collections.abc import Generator

import hypothesis
import pytest

import fpc_core.model  # noqa: F401  declares torchvision's operators before torchmetrics or timm import it
from fpc_core.cli import main
from fpc_core.workspace import Places, demo_memory_folder
from tests.support.browser import console_errors, open_demo, settle
from tests.support.server import chromium, server

# Timings are benchmarks, not tests. With CI set the same examples are tried every time, so that no change is refused
# for what it did not cause; others are tried wherever people work.
hypothesis.settings.register_profile("untimed", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden-figures", action="store_true", help="write tests/golden/figures anew; look at them")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Build the demo's gallery memory if it is missing, before the worker processes start."""
    if not hasattr(session.config, "workerinput") and not (demo_memory_folder() / "manifest.json").is_file():
        main(["memory", "build"])


# Whole pages, servers and processes, and files of tests that take more than 6 s together. `make quick` leaves them out.
SLOW = (
    "tests/app/data/test_file_names",
    "tests/app/pages",
    "tests/app/server/test_costly_requests",
    "tests/app/server/test_host_details",
    "tests/app/server/test_hostile",
    "tests/app/server/test_log_limits",
    "tests/app/server/test_shutdown",
    "tests/app/server/test_worker",
    "tests/core/data/test_arranged_layouts",
    "tests/core/evaluation/test_dataset_protocols",
    "tests/core/evaluation/test_device_parity",
    "tests/core/figures/test_figures",
    "tests/core/gallery/test_damaged_memory",
    "tests/core/gallery/test_disk_faults",
    "tests/core/gallery/test_token_store",
    "tests/core/io/test_bounded_files",
    "tests/core/model/test_checkpoint_kinds",
    "tests/core/runtime/test_shared_evaluation",
    "tests/core/test_cli",
    "tests/core/test_search",
    "tests/core/training",
    "tests/fuzz",
    "tests/load",
    "tests/repo/test_docs",
    "tests/repo/test_gpu_benchmark",
    "tests/repo/test_notebook",
    "tests/repo/test_package",
    "tests/repo/test_python_version",
    "tests/repo/test_tutorial",
)


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook.
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run browser tests first and in one process, beside another one for the rest; mark whole folders as slow."""
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.xdist_group("browser"))
        if item.nodeid.startswith(SLOW):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: item.get_closest_marker("browser") is None)


@pytest.fixture(scope="session", autouse=True)
def nobody_s_settings(tmp_path_factory):
    """Variables of whoever runs the tests do not count, and nothing is written into a cache of theirs."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [each for each in os.environ if each.startswith("FPC_")]:
            patch.delenv(name)
        patch.setenv("FPC_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def small_places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """A complete small workspace, built once; tests must not write into it."""
    from tests.support.small_workspace import build_world

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
        try:
            browser = chromium(playwright)
        except FileNotFoundError as error:
            pytest.skip(str(error))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def url(tmp_path_factory):
    with server(settings={"FPC_CACHE": str(tmp_path_factory.mktemp("cache"))}) as (address, _, _):
        yield address


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what the page shows to the report of a browser test that fails."""
    report = yield
    page = getattr(item, "funcargs", {}).get("page")
    if report.failed and page is not None and not page.is_closed():
        state = page.evaluate("() => [window.fpcUnanswered, document.querySelector('.stApp')?.dataset.testScriptState]")
        report.sections.append(("page", f"{page.url}\nunanswered, script: {state}\n{page.inner_text('body')}"))
    return report


@pytest.fixture
def page(browser, url):
    """A fresh visitor at 1280 px on the loaded page; afterwards, not one error in the console."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    errors = console_errors(page)
    open_demo(page, url)
    yield page
    settle(page)
    assert page.get_by_test_id("stException").count() == 0
    page.close()
    assert errors == []
