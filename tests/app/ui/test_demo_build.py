"""The demo's gallery memory is built by the app if it is missing."""

import shutil
from dataclasses import replace

import pytest

from app.ui import demo_build, page_frame
from fpc_core.gallery import builder
from tests.support.apptest import PAGES, clear_caches, open_page, run_until


@pytest.fixture
def unbuilt_demo(small_places, tmp_path, monkeypatch):
    """Replace the app's demo by the small workspace without a gallery memory."""
    places = replace(small_places, memory=tmp_path / "memory")
    monkeypatch.setattr(demo_build, "demo_places", lambda: places)
    monkeypatch.setattr(page_frame, "demo_places", lambda: places)
    for name in ("data", "weights", "memory"):
        monkeypatch.setenv(f"FPC_{name.upper()}", str(getattr(places, name)))
    clear_caches()
    yield places
    clear_caches()


def test_a_missing_demo_memory_is_built_with_progress(unbuilt_demo, small_places):
    page = open_page(PAGES / "explore.py").run()
    assert not page.exception
    assert "Preparing the demo" in [each.value for each in page.header]
    run_until(page, lambda page: "Preparing the demo" not in [each.value for each in page.header])
    assert not page.exception
    assert page.selectbox(key="query").value
    built, shipped = ((folder / "manifest.json").read_bytes() for folder in (unbuilt_demo.memory, small_places.memory))
    assert built == shipped


def test_a_failed_build_of_the_demo_shows_the_reason_and_a_retry(unbuilt_demo, monkeypatch):
    whole = builder.build_steps

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")
        yield

    monkeypatch.setattr("app.server.data_jobs.build_steps", full)
    page = open_page(PAGES / "explore.py").run()
    run_until(page, lambda page: page.error)
    assert "No space left on device" in page.error[0].value
    monkeypatch.setattr("app.server.data_jobs.build_steps", whole)
    page.button(key="build-demo").click().run()
    run_until(page, lambda page: "Preparing the demo" not in [each.value for each in page.header])
    assert page.selectbox(key="query").value


def test_a_deleted_demo_memory_is_built_again(unbuilt_demo):
    page = open_page(PAGES / "explore.py").run()
    run_until(page, lambda page: "Preparing the demo" not in [each.value for each in page.header])
    shutil.rmtree(unbuilt_demo.memory)
    clear_caches()
    page.run()
    run_until(page, lambda page: "Preparing the demo" not in [each.value for each in page.header])
    assert (unbuilt_demo.memory / "manifest.json").is_file()


def test_other_data_without_a_gallery_memory_are_not_built(unbuilt_demo, tmp_path, monkeypatch):
    monkeypatch.setenv("FPC_MEMORY", str(tmp_path / "elsewhere"))
    page = open_page(PAGES / "explore.py").run()
    assert "No data loaded yet" in [each.value for each in page.header]
    assert not (tmp_path / "elsewhere").exists()
