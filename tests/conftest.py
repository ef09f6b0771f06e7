"""Fixtures and hooks for all tests."""

import os
from collections.abc import Generator

import hypothesis
import pytest

import fpc_core.model  # noqa: F401  declares torchvision's operators before torchmetrics or timm import it
from fpc_core.cli import main
from fpc_core.workspace import Places, demo_memory_folder
from tests.support.browser import console_errors, open_demo, settle
from tests.support.server import chromium, server

# Examples have no deadline, because tests measure no times. If CI is set, every run tries the same examples, so that a
# change is not rejected for an unrelated failure. Elsewhere, every run tries new examples.
hypothesis.settings.register_profile("untimed", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden-figures",
        action="store_true",
        help="rewrite tests/golden/figures; inspect the new images before committing them",
    )


def pytest_sessionstart(session: pytest.Session) -> None:
    """Build the demo's gallery memory if it is missing, before the worker processes start."""
    if not hasattr(session.config, "workerinput") and not (demo_memory_folder() / "manifest.json").is_file():
        main(["memory", "build"])


# Tests of whole pages, servers and processes, and test files that take more than 6 s. `make quick` skips them.
SLOW = (
    "tests/app/data/test_file_names",
    "tests/app/pages",
    "tests/app/server/test_costly_requests",
    "tests/app/server/test_host_details",
    "tests/app/server/test_hostile",
    "tests/app/server/test_log_limits",
    "tests/app/server/test_shutdown",
    "tests/app/server/test_job_worker",
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
    """Mark slow tests, and run browser tests first and in one process, while another process runs the other tests."""
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.xdist_group("browser"))
        if item.nodeid.startswith(SLOW):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: item.get_closest_marker("browser") is None)


@pytest.fixture(scope="session", autouse=True)
def clean_environment(tmp_path_factory):
    """Remove the FPC_ variables of the environment, and use an empty cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [each for each in os.environ if each.startswith("FPC_")]:
            patch.delenv(name)
        patch.setenv("FPC_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def small_places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """Return the paths of a small workspace, which is built once. Tests must not write into it."""
    from tests.support.small_workspace import build_world

    return build_world(tmp_path_factory.mktemp("small_world"))


@pytest.fixture
def small_world_in_use(small_places, monkeypatch):
    """Make the app open the small workspace instead of the demo."""
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
    """Add the page's address, state and text to the report of a failed browser test."""
    report = yield
    page = getattr(item, "funcargs", {}).get("page")
    if report.failed and page is not None and not page.is_closed():
        state = page.evaluate("() => [window.fpcUnanswered, document.querySelector('.stApp')?.dataset.testScriptState]")
        report.sections.append(("page", f"{page.url}\nunanswered, script: {state}\n{page.inner_text('body')}"))
    return report


@pytest.fixture
def page(browser, url):
    """Return Explore in a new browser page, 1280 px wide. After the test, check that the console shows no errors."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    errors = console_errors(page)
    open_demo(page, url)
    yield page
    settle(page)
    assert page.get_by_test_id("stException").count() == 0
    page.close()
    assert errors == []
