"""Has the server end soon after it was told to, whatever its threads are busy with.

Python waits at its end for every thread that is not a daemon, and asyncio for every call in its pool. A visitor's long
computation would hold both up, in compiled code that hears of nothing.
"""

from __future__ import annotations

import logging
import os
import threading
import time

from streamlit import runtime
from streamlit.runtime import Runtime, RuntimeState

GRACE = 4.0  # seconds for threads to end by themselves
_LOOK = 0.5
_ENDING = (RuntimeState.STOPPING, RuntimeState.STOPPED)
_turn, _watching = threading.Lock(), threading.Event()
_LOG = logging.getLogger("fpc.shutdown")


def end_in_time() -> None:
    """Watch for the end of the server, from a thread of its own; once per process, and only where there is a server."""
    server = runtime.get_instance() if runtime.exists() else None
    with _turn:
        if _watching.is_set() or not isinstance(server, Runtime):
            return
        _watching.set()
        threading.Thread(target=_watch, args=(server,), name="shutdown", daemon=True).start()


def _watch(server: Runtime) -> None:
    while server.state not in _ENDING and threading.main_thread().is_alive():
        time.sleep(_LOOK)
    time.sleep(GRACE)  # a process that ends meanwhile takes this thread along
    _LOG.warning("ended with work at hand, %g s after the server was told to stop", GRACE)
    os._exit(0)
