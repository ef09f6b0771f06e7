"""Public mode: what visitors see, what links cannot do, and that nothing is written."""

import io
import os
import string
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
import streamlit as st
from google.protobuf.json_format import MessageToJson
from hypothesis import given, strategies

from app.public_mode import config_error, is_public, redact
from app.sections import prefetch
from app.session.workspace_choice import WorkspaceChoice, read_choice
from fpc_core.config import QuerySettings, Variant
from fpc_core.figures import render  # Imported before the tests, because its libraries create folders.
from fpc_core.figures.recipe import FigureKind, FigureRecipe
from fpc_core.gallery.memory import GalleryMemoryError
from fpc_core.workspace import open_workspace
from tests.support.apptest import (
    PAGES,
    ROOT,
    clear_caches,
    open_page,
    run_page,
    run_until,
    sent_to,
    texts,
    wait_until_finished,
)

VISITED = sorted(path.name for path in PAGES.glob("*.py") if path.name not in ("__init__.py", "data.py"))
_written: list[str] = []
_watching: list[Path] = []


def _audit(event: str, given: tuple) -> None:
    """Record the paths of files and folders that this process changes, while `watched` is active.

    Args:
        event: Name of the audit event.
        given: Arguments of the event.
    """
    if not _watching:
        return
    if event == "open":
        path, mode, flags = given
        writes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) if isinstance(flags, int) else "r" not in mode
        if writes and isinstance(path, str | bytes):
            _written.append(os.fsdecode(path))
    elif event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate"):
        _written.append(f"{event} {os.fsdecode(given[0]) if isinstance(given[0], str | bytes) else given[0]}")


sys.addaudithook(_audit)  # Hooks cannot be removed, so _audit does nothing outside of `watched`.


@contextmanager
def watched(*folders: Path) -> Iterator[list[str]]:
    """Yield a list that receives the paths this process writes to. At the end, check that the folders are unchanged."""
    before = {path: path.stat().st_mtime_ns for folder in folders for path in (folder, *folder.rglob("*"))}
    _written.clear()
    _watching.append(Path())
    try:
        yield _written
    finally:
        _watching.clear()
    after = {path: path.stat().st_mtime_ns for folder in folders for path in (folder, *folder.rglob("*"))}
    assert after == before


@pytest.fixture
def public(small_world_in_use, monkeypatch, tmp_path):
    """Start a public app with the small workspace, and return its cache folder."""
    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setenv("FPC_PUBLIC", "1")
    monkeypatch.setenv("FPC_CACHE", str(cache))
    monkeypatch.setenv("FPC_ROOTS", str(tmp_path))
    is_public.cache_clear()
    clear_caches()
    yield cache
    is_public.cache_clear()
    clear_caches()


def by_the_page(written: list[str], cache: Path) -> list[str]:
    """Return the written paths without those of Python bytecode and of background jobs from earlier tests.

    Args:
        written: Paths recorded by `watched`.
        cache: Cache folder of this test.
    """
    others = str(cache.parent.parent / "test_")
    return [each for each in written if "pycache" not in each and (others not in each or str(cache.parent) in each)]


def everything(page) -> str:
    """Return every message that the browser receives, except images."""
    return "\n".join(MessageToJson(each.proto) for each in _elements(page._tree)).replace("\\/", "/")


def _elements(block):
    for child in block.children.values():
        if hasattr(child, "children"):
            yield from _elements(child)
        elif getattr(child, "proto", None) is not None:
            yield child


def secrets(places, cache) -> tuple[str, ...]:
    return (str(places.data.parent), str(cache.parent), str(ROOT), str(Path.home()) + "/", sys.prefix)


@pytest.mark.parametrize("name", VISITED)
def test_no_page_shows_paths_writes_files_or_opens_data_of_a_link(public, small_places, name):
    page = open_page(PAGES / name)
    page.query_params.update({"data": "demo", "weights": str(small_places.weights), "memory": "/etc", "device": "cpu"})
    with watched(public, small_places.data.parent) as written:
        run_page(page)
    assert by_the_page(written, public) == []
    assert not page.error
    notice = page.warning[0].value.replace("\\", "")
    assert "The link sets data, weights, memory, device. This public app uses fixed data" in notice
    assert not page.query_params.keys() & {"data", "weights", "memory", "device"}
    page_text = everything(page)
    assert "Small world" in page_text
    for secret in secrets(small_places, public):
        assert secret not in page_text, secret


def test_background_errors_are_shown_without_paths(public, small_places, monkeypatch):
    def damaged(*_):
        raise GalleryMemoryError(f"{small_places.memory / 'tokens.npy'} is damaged; build the memory again")

    monkeypatch.setattr(prefetch, "_at_all_keep_rates", damaged)
    page = open_page(PAGES / "explore.py")
    page.query_params["epsilon"] = "0.11"  # No other test computes this grid.

    def errors(page):
        return [sent["error"] for sent in sent_to(page, "job_result") if sent["error"]]

    assert errors(run_until(page, errors)) == ["tokens.npy is damaged; build the memory again"]
    assert str(small_places.memory) not in everything(page)


def test_a_private_app_shows_paths(small_world_in_use, small_places):
    page = open_page(PAGES / "data.py")
    run_page(page)
    assert small_places.weights.name in texts(page).replace("\\", "")
    assert "FPC_ROOTS" in texts(page)


def test_the_public_data_page_offers_no_choices(public):
    page = run_page(open_page(PAGES / "data_public.py"))
    page_text = texts(page)
    assert "This public app" in page_text
    assert ":orange-badge[SYNTHETIC] **Small world**" in page_text
    assert "**model\\.safetensors** · own format" in page_text
    assert "The gallery memory `memory` matches this dataset and these weights (32 images" in page.success[0].value
    assert "on two principal components" in page_text
    assert [button.key for button in page.button] == []
    assert {box.key for box in page.selectbox} == {"m_query"}


@pytest.mark.parametrize("shown", ["data_public.py", "data.py"])
def test_public_navigation_has_no_page_that_loads_data(public, monkeypatch, shown):
    monkeypatch.setenv("FPC_PUBLIC", "1" if shown == "data_public.py" else "0")
    offered, real = [], st.navigation
    monkeypatch.setattr(st, "navigation", lambda pages, **named: offered.extend(pages) or real(pages, **named))
    assert run_page(open_page(ROOT / "streamlit_app.py")).tabs
    assert sorted(page._page.name for page in offered) == sorted({*VISITED} - {"data_public.py"} | {shown})
    widgets = everything(run_page(open_page(PAGES / shown)))  # The messages contain the keys of the widgets.
    assert ("-draft-" in widgets) == (shown == "data.py")


def test_a_public_link_sets_only_the_default_variant():
    link = {"data": "x", "weights": "y", "memory": "z", "device": "cpu", "stride": "12", "usual": "paper"}
    found, problems = read_choice(link, public=True)
    assert found == WorkspaceChoice(variant=Variant.PAPER)
    assert len(problems) == 1
    assert read_choice({"usual": "paper"}, public=True) == (WorkspaceChoice(variant=Variant.PAPER), ())
    assert read_choice(link)[0].data == "x"


def test_a_public_sweep_is_shown_but_not_stored(public, small_places):
    page = open_page(PAGES / "sweep.py")
    page.query_params.update({"scope": "one", "gammas": ["1.0"], "ks": ["1"], "step": "0.5"})
    with watched(public, small_places.data.parent) as written:
        wait_until_finished(page)  # A sweep of few queries starts without a click.
    assert [each for each in written if str(public) in each] == []


def test_figure_downloads_are_packed_in_ram(public, small_places):
    workspace = open_workspace(small_places, "cpu", read_only=True)
    query = workspace.dataset.query[0].path.as_posix()
    recipe = FigureRecipe(FigureKind.DROP_PROCESS, (query,), QuerySettings(shortlist=20))
    with watched(public, small_places.data.parent) as written:
        packed = render.bundle(recipe, workspace)
    assert by_the_page(written, public) == []
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert len(archive.namelist()) == 7


def test_results_stored_earlier_are_shown(public, small_world_in_use, monkeypatch):
    params = {"scope": "one", "gammas": ["1.0"], "ks": ["1"], "step": "0.5"}
    monkeypatch.setenv("FPC_PUBLIC", "0")
    is_public.cache_clear()
    clear_caches()
    private = open_page(PAGES / "sweep.py")
    private.query_params.update(params)
    wait_until_finished(private)
    assert list((public / "results").glob("*.npz"))
    monkeypatch.setenv("FPC_PUBLIC", "1")
    is_public.cache_clear()
    clear_caches()
    page = open_page(PAGES / "sweep.py")
    page.query_params.update(params)
    assert "Done: " in texts(run_page(page))


def test_errors_of_opening_show_no_path_and_the_log_contains_it(public, monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("FPC_WEIGHTS", str(tmp_path / "secret folder" / "gone.pth"))
    for name in VISITED:
        page = run_page(open_page(PAGES / name))
        assert page.header[0].value == "The app can't load its data"
        assert "gone" not in everything(page)
        assert str(tmp_path) not in everything(page)
        assert not page.code
    assert str(tmp_path / "secret folder" / "gone.pth") in caplog.text


def test_damaged_stored_results_are_reported_without_paths(public, caplog):
    from app.messages import _private_folders

    path = public / "results" / "a b" / "0f.npz"
    page_text = redact(
        f"the stored results {path} are damaged (bad magic); they are computed again", _private_folders()
    )
    assert page_text == "the stored results results/a b/0f.npz are damaged (bad magic); they are computed again"
    assert str(path) in caplog.text


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("there is no folder /srv/data/duke; check it", "there is no folder duke; check it"),
        ("[Errno 13] Permission denied: '/cache/results'", "[Errno 13] Permission denied: 'results'"),
        (r"cannot open C:\Users\me\weights.pth.", "cannot open weights.pth."),
        ("see file:///etc/passwd: no", "see passwd: no"),
        ("the file is in ~/models/a.pth", "the file is in a.pth"),
        ("query/0001_c1.png is damaged (1/2 read, 3 / 4 not)", "query/0001_c1.png is damaged (1/2 read, 3 / 4 not)"),
        ("in /", "in /"),
    ],
)
def test_a_public_message_keeps_the_file_name_but_not_its_folder(public, message, expected):
    assert redact(message) == expected


_part = strategies.text(string.ascii_letters + string.digits + "._-é", min_size=1, max_size=12).filter(
    lambda part: part.strip(".")
)


@given(
    strategies.lists(_part, min_size=2, max_size=6), strategies.sampled_from(["{}", "'{}'", "({})", "in {}: no", "{}."])
)
def test_a_public_message_has_no_absolute_path(parts, words):
    with patch("app.public_mode.is_public", lambda: True):
        page_text = redact(f"cannot open {words.format('/' + '/'.join(parts))} now")
    assert "/" not in page_text
    assert parts[-1].rstrip(".") in page_text


def test_a_private_message_is_unchanged():
    is_public.cache_clear()
    assert redact("there is no folder /srv/data/duke") == "there is no folder /srv/data/duke"
    is_public.cache_clear()


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("1", True),
        ("true", True),
        ("YES", True),
        (" yes ", True),
        ("0", False),
        ("false", False),
        ("no", False),
        ("", False),
    ],
)
def test_the_setting_is_read_once(monkeypatch, text, public):
    monkeypatch.setenv("FPC_PUBLIC", text)
    is_public.cache_clear()
    assert is_public() is public
    monkeypatch.setenv("FPC_PUBLIC", "0" if public else "1")
    assert is_public() is public
    is_public.cache_clear()


@pytest.mark.parametrize("text", ["on", "2", "public", "<b>", "1 1"])
def test_a_setting_that_is_neither_yes_nor_no_shows_no_page(small_world_in_use, monkeypatch, text):
    monkeypatch.setenv("FPC_PUBLIC", text)
    is_public.cache_clear()
    with pytest.raises(ValueError, match="FPC_PUBLIC must be 1, true or yes"):
        is_public()
    assert "FPC_PUBLIC" in config_error()
    app = run_page(open_page(ROOT / "streamlit_app.py"))
    assert "FPC_PUBLIC must be 1, true or yes" in app.error[0].value
    assert not app.header
    assert not app.title
    is_public.cache_clear()
