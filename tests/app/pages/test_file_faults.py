"""Files that are lost, damaged or changed while the app runs: messages, and recovery after the file is restored."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from app.server.cache import RESULTS
from fpc_core.matching.shortlist import ShortlistError, TorchIndex
from fpc_core.model.checkpoint import save_checkpoint
from fpc_core.model.fpc import FPC
from tests.support.apptest import PAGES, alpha_shown, clear_caches, open_page, run_page, texts, wait_until_finished
from tests.support.small_workspace import CONFIG, paint

IMAGE_PAGES = ("explore", "learn", "compare", "lab")  # Pages that show images of the dataset when they open.
QUERY = "query/0003_c1_f0000002.png"
VIEW = {"query": QUERY, "alpha": "0.75", "c_query": QUERY, "l_query": QUERY, "m_query": QUERY, "step": "6"}


@pytest.fixture
def places(small_places, tmp_path, monkeypatch):
    """Start the app with a copy of the small workspace and a cache folder that does not exist yet; return its paths."""
    places = replace(
        small_places, data=tmp_path / "small", weights=tmp_path / "model.safetensors", memory=tmp_path / "memory"
    )
    for name in ("data", "weights", "memory"):
        here = getattr(small_places, name)
        (shutil.copytree if here.is_dir() else shutil.copy2)(here, getattr(places, name))
        monkeypatch.setenv(f"FPC_{name.upper()}", str(getattr(places, name)))
    monkeypatch.setenv("FPC_CACHE", str(tmp_path / "cache"))
    clear_caches()
    yield places
    clear_caches()


@contextmanager
def lost(path: Path):
    """Move a file or folder away until the block ends."""
    aside = path.with_name(path.name + " aside")
    path.rename(aside)
    try:
        yield
    finally:
        aside.rename(path)


@contextmanager
def damaged(*paths: Path):
    """Overwrite the second half of every file with zeros, as a bad disk would, until the block ends."""
    whole = {path: path.read_bytes() for path in paths}
    for path, data in whole.items():
        path.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    try:
        yield
    finally:
        for path, data in whole.items():
            path.write_bytes(data)


def visiting(name: str):
    page = open_page(PAGES / f"{name}.py")
    page.query_params.update(VIEW)
    return run_page(page)


def page_text(page) -> str:
    return texts(page).replace("\\", "")


@pytest.mark.parametrize("part", ["data", "weights", "memory"])
def test_a_lost_file_is_reported_and_the_view_returns_with_it(places, part):
    page = visiting("explore")
    assert alpha_shown(page) == 0.75
    with lost(getattr(places, part)):
        run_page(page)
        assert page.header[0].value == "No data loaded yet"
        assert str(getattr(places, part)) in page.error[0].value.replace("\\", "")
    run_page(page)
    assert not page.error
    assert page.selectbox(key="query").value == QUERY
    assert alpha_shown(page) == 0.75


def test_weights_replaced_at_run_time_do_not_match_the_memory(places):
    page = visiting("explore")
    before = places.weights.read_bytes()
    torch.manual_seed(9)
    save_checkpoint(FPC(CONFIG).eval(), places.weights)
    run_page(page)
    assert "was built from other weights" in page.error[0].value.replace("\\", "")
    places.weights.write_bytes(before)
    run_page(page)
    assert not page.error
    assert page.selectbox(key="query").value == QUERY


def test_weights_damaged_at_run_time_are_reported(places):
    page = visiting("explore")
    whole = places.weights.read_bytes()
    for damage, message in (
        (whole[:5000], "is not a checkpoint, is truncated"),
        (whole[:-9] + bytes(9), "other weights"),
    ):
        places.weights.write_bytes(damage)
        assert message in run_page(page).error[0].value.replace("\\", "")
    places.weights.write_bytes(whole)
    assert not run_page(page).error


@pytest.mark.parametrize("change", ["deleted", "added"])
def test_a_gallery_changed_at_run_time_does_not_match_the_memory(places, change):
    page = visiting("explore")
    image = places.data / "bounding_box_test" / "0005_c2_f0000001.png"
    new = image.with_name("0009_c2_f0000001.png")
    before = image.read_bytes()
    if change == "deleted":
        image.unlink()
    else:
        paint(9, 2).save(new)
    run_page(page)
    assert "was built from other image files than those in use; build it again" in page.error[0].value.replace("\\", "")
    image.write_bytes(before)
    new.unlink(missing_ok=True)
    run_page(page)
    assert not page.error
    assert page.selectbox(key="query").value == QUERY
    assert alpha_shown(page) == 0.75


def test_a_query_deleted_at_run_time_is_named_and_another_shown(places):
    page = visiting("explore")
    with lost(places.data / QUERY):
        run_page(page)
        assert "query/0003_c1_f0000002.png" in page_text(page)
        assert page.selectbox(key="query").value != QUERY
    page.query_params.update(VIEW)
    run_page(page)


@pytest.mark.parametrize("name", IMAGE_PAGES)
def test_damaged_images_are_named_and_repaired_ones_shown(places, name):
    images = sorted(places.data.rglob("*.png"))
    with damaged(*images):
        page = visiting(name)
        assert ".png is damaged or truncated" in page_text(page)
        assert "export or download it again" in page_text(page)
    run_page(page)
    assert "is damaged" not in page_text(page)
    assert QUERY in [box.value for box in page.selectbox]


@pytest.mark.parametrize("name", IMAGE_PAGES)
def test_a_damaged_gallery_image_is_named_on_every_page(places, name):
    with damaged(*sorted((places.data / "bounding_box_test").iterdir())):
        page = visiting(name)
        assert "is damaged or truncated" in page_text(page)
    run_page(page)
    assert "is damaged" not in page_text(page)


def test_images_damaged_after_the_atlas_was_computed_are_named(places):
    page = wait_until_finished(visiting("atlas"))
    RESULTS.clear()  # The cache holds thumbnails of the images.
    with damaged(*sorted((places.data / "bounding_box_test").iterdir())):
        assert "is damaged or truncated" in page_text(run_page(page))
    run_page(page)
    assert "is damaged" not in page_text(page)


def test_a_failing_shortlist_index_is_reported(places, monkeypatch):
    def gone(*_):
        raise ShortlistError(
            "Qdrant at http://localhost:6333 cannot be used: connection refused; start it, or use torch"
        )

    visiting("explore")
    monkeypatch.setattr(TorchIndex, "search", gone)
    RESULTS.clear()
    assert "Qdrant at http://localhost:6333 cannot be used" in page_text(visiting("explore"))


@pytest.mark.parametrize("name", ["sweep", "evaluate", "atlas"])
def test_a_page_without_a_writable_cache_folder_works_with_a_message(places, name, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FPC_CACHE", str(tmp_path / "file" / "cache"))
    page = visiting(name)
    if name != "atlas":  # The Atlas page starts without a click.
        page.button(key="start").click()
    wait_until_finished(page)
    assert "cannot store results" in page_text(page)
    assert not page.error
