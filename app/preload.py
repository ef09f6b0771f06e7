"""Load the core and its libraries once the title of the first page is on screen."""

from __future__ import annotations

import gc
import sys
import threading
from importlib import import_module

_ENGINE = "fpc_core.workspace"
_lock = threading.Lock()


def load_engine() -> None:
    """Import the core once per server; threads that call this during the import wait for it.

    torch, timm and numba create a million permanent objects. Scanning them would take the garbage collector a third
    of the import time, and it would repeat that later in every full collection, while visitors wait.
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
