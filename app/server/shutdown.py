"""End the process soon after the server stops, even if threads are busy.

At exit, Python waits for every non-daemon thread, and asyncio waits for every call in its thread pool. A long
computation in compiled code cannot be interrupted and would delay both.
"""

from __future__ import annotations

import logging
import os
import threading
import time

from streamlit import runtime
from streamlit.runtime import Runtime, RuntimeState

GRACE = 4.0  # Seconds that threads have to end by themselves.
_CHECK_SECONDS = 0.5  # Interval between checks of the server's state.
_STOP_STATES = (RuntimeState.STOPPING, RuntimeState.STOPPED)
_lock, _watching = threading.Lock(), threading.Event()
_LOG = logging.getLogger("fpc.shutdown")


def exit_soon_after_stop() -> None:
    """Start a daemon thread that ends the process `GRACE` seconds after the server stops.

    The thread starts once per process, and only if there is a server.
    """
    server = runtime.get_instance() if runtime.exists() else None
    with _lock:
        if _watching.is_set() or not isinstance(server, Runtime):
            return
        _watching.set()
        threading.Thread(target=_watch, args=(server,), name="shutdown", daemon=True).start()


def _watch(server: Runtime) -> None:
    while server.state not in _STOP_STATES and threading.main_thread().is_alive():
        time.sleep(_CHECK_SECONDS)
    time.sleep(GRACE)  # If the process exits during this time, this daemon thread ends with it.
    _LOG.warning("some work did not finish; the process exits %g s after the server stopped", GRACE)
    os._exit(0)
