"""Imports of a new server: a page shows its title before the engine's libraries are loaded."""

import ast
import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from app import preload
from app.server import resources, search
from app.ui.query_picker import query_of
from fpc_core.config import QuerySettings
from fpc_core.retrieval import Retriever
from fpc_core.workspace import Places
from tests.support.apptest import clear_caches

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "timm", "numba", "fpc_core")


def after(code):
    """Return the words that this code prints in a new interpreter."""
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return found.stdout.split()


def test_the_title_of_a_page_does_not_import_the_engine():
    parsed = ast.parse((ROOT / "streamlit_app.py").read_text(encoding="utf-8"))
    used = {ast.unparse(each) for each in ast.walk(parsed) if isinstance(each, ast.ImportFrom)}
    assert "from app.layout import ICON, inject_page_css" in used
    loads = "; ".join(["import sys", *used, "from app.layout import heading, inject_presenter_css"])
    assert after(f"{loads}; print(*[name for name in {HEAVY} if name in sys.modules])") == []


def test_the_engine_is_imported_once_and_collection_is_re_enabled():
    code = (
        "import gc, sys; from app.preload import load_engine; load_engine(); once = gc.get_freeze_count()\n"
        "load_engine(); print(gc.isenabled(), once > 100_000, gc.get_freeze_count() <= once, 'timm' in sys.modules)"
    )
    assert after(code) == ["True", "True", "True", "True"]


def test_a_failed_import_of_the_engine_re_enables_collection():
    code = (
        "import gc, sys; sys.modules['timm'] = None; from app.preload import load_engine\n"
        "try: load_engine()\n"
        "except ImportError: print(gc.isenabled())"
    )
    assert after(code) == ["True"]


def test_preloading_opens_the_workspace_and_searches_for_the_first_query(small_world_in_use, monkeypatch):
    clear_caches()
    preload.preload()
    workspace = resources.workspace(Places.from_environment())
    dataset = workspace.dataset
    first = next(each for each in dataset.query if each.path.as_posix() == dataset.first_query)
    for name in ("prepare", "encode", "match"):
        monkeypatch.setattr(Retriever, name, lambda *_: pytest.fail("computed again"))
    settings = QuerySettings(shortlist=dataset.shortlist, neighbors=dataset.neighbors)
    found = search.search(workspace, query_of(workspace, first), settings)
    assert len(found.reused) >= 3


def test_a_workspace_that_cannot_be_opened_is_left_to_the_page(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("FPC_DATA", str(tmp_path / "nowhere"))
    with caplog.at_level(logging.INFO, "fpc.preload"):
        preload.preload()
    assert "the workspace was not opened before the first visit" in caplog.text


def test_a_server_preloads_when_it_starts():
    source = (ROOT / "streamlit_app.py").read_text(encoding="utf-8")
    assert "start_preloading()" in source.partition("async def lifespan")[2].partition("yield")[0]
    assert "st.App(__file__, lifespan=lifespan)" in source


def test_preloading_starts_in_the_background_after_its_delay(monkeypatch):
    started = threading.Event()
    monkeypatch.setattr(preload, "_DELAY", 0.05)
    monkeypatch.setattr(preload, "preload", started.set)
    preload.start_preloading()
    assert not started.is_set()
    assert started.wait(5)
