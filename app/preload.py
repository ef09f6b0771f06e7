"""Load the engine and its libraries after the title of the first page is shown."""

from __future__ import annotations

import gc
import sys
import threading
from importlib import import_module

_ENGINE = "fpc_core.workspace"
_lock = threading.Lock()


def load_engine() -> None:
    """Import the engine once per server; other pages wait for the first one.

    torch, timm and numba create a million permanent objects. The garbage collector would scan them repeatedly during
    the import, for a third of its time, and later in each full collection while visitors wait.
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
