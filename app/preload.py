"""Loads the engine and its libraries, while the title of the first page stands there already."""

from __future__ import annotations

import gc
import sys
import threading
from importlib import import_module

_ENGINE = "fpc_core.workspace"
_turn = threading.Lock()


def load_engine() -> None:
    """Once in the life of the server; the page that comes first does it, others wait.

    torch, timm and numba bring a million objects that stay for good. The collector would look through them again and
    again while they come, for a third of the time, and later at each of its full rounds, while every visitor waits.
    """
    with _turn:
        if _ENGINE in sys.modules:
            return
        gc.disable()
        try:
            import_module(_ENGINE)
            gc.freeze()
        finally:
            gc.enable()
