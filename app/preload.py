"""Load the core, open the workspace and search once in the background, so that the first visitor waits less."""

from __future__ import annotations

import gc
import logging
import sys
import threading
from importlib import import_module

_ENGINE = "fpc_core.workspace"
_DELAY = 2.0  # Seconds before preloading, so that a visitor who is already waiting sees the page title first.
_PAGES = ("app.sections.details", "app.sections.ranking", "app.ui.page_frame", "app.ui.query_picker")
_lock = threading.Lock()
_LOG = logging.getLogger("fpc.preload")


def load_engine() -> None:
    """Import the core once per server; threads that call this during the import wait for it.

    torch, timm and numba create a million permanent objects. Scanning them would take the garbage collector a third
    of the import time. It would scan them again in every later full collection, while visitors wait.
    """
    with _lock:
        if _ENGINE in sys.modules:
            return
        gc.disable()
        try:
            import_module(_ENGINE)
            gc.freeze()
        finally:
            gc.enable()


def start_preloading() -> None:
    """Start `preload` in a daemon thread after a short delay, so that the server can answer requests first."""
    timer = threading.Timer(_DELAY, preload)
    timer.name, timer.daemon = "preload", True
    timer.start()


def preload() -> None:
    """Import the core and Explore, open the workspace and search for its first query, as every first visit does.

    The results stay in the caches that the pages use. If the workspace cannot be opened, the reason is written to the
    log, and the first visitor sees the page's own error message or the build of the demo's gallery memory.
    """
    load_engine()
    for name in _PAGES:
        import_module(name)
    from app.server import resources, search
    from app.session.view import NEIGHBORS
    from app.ui.query_picker import query_of
    from fpc_core.config import QuerySettings
    from fpc_core.workspace import Places

    try:
        workspace = resources.workspace(Places.from_environment())
        dataset = workspace.dataset
        settings = QuerySettings(shortlist=dataset.shortlist, neighbors=min(dataset.neighbors, NEIGHBORS[1]))
        for record in dataset.query:
            if record.path.as_posix() == dataset.first_query:
                search.search(workspace, query_of(workspace, record), settings)
    except (ValueError, OSError) as error:
        _LOG.info("the workspace was not opened before the first visit: %s", error)
