"""Make files for download on request: one at a time per visitor, and shared between visitors.

Streamlit calls the function of a download button in a small thread pool that all visitors share, outside every queue.
Therefore `make` functions wait in the model queue, a visitor's new request supersedes the previous one, a request for a
file that is already being made waits for that file, and some threads of the pool always stay free.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from app.server.queues import BusyError
from app.server.search import run_in_model_queue
from app.session import visitor
from app.session.visitor import current_visitor

File = bytes | str
_CHECK_SECONDS = 0.2  # Interval between checks that a visitor still waits for the file.
_POOL_SIZE = min(32, (os.cpu_count() or 1) + 4)  # Size of asyncio's default executor, which Streamlit uses here.
MAX_REQUESTS = max(2, _POOL_SIZE - 2)  # Maximum number of active requests of all visitors.
MAX_PER_VISITOR = 3  # Maximum number of active requests per visitor, superseded ones included.


class SupersededError(RuntimeError):
    """Raised when the visitor has made another request or has left."""


@dataclass(eq=False)
class _Request:
    """The latest request of a visitor."""

    key: Hashable


@dataclass(eq=False)
class _FileInProgress:
    """A file that is being made.

    Attributes:
        done: Event that is set once the file is made or has failed.
        file: Content of the file; None until it is made and after an error.
    """

    done: threading.Event = field(default_factory=threading.Event)
    file: File | None = None


class Downloads:
    """Makes files for visitors, one per visitor at a time."""

    def __init__(
        self, max_requests: int = MAX_REQUESTS, is_connected: Callable[[str], bool] = visitor.is_connected
    ) -> None:
        """Create the object with no active requests.

        Args:
            max_requests: Maximum number of active requests of all visitors, including those that wait.
            is_connected: Function that returns whether a visitor, given by name, is connected.
        """
        self._max_requests, self._is_connected = max_requests, is_connected
        self._latest: dict[str, _Request] = {}
        self._active: list[str] = []  # Name of the visitor, once per active request.
        self._in_progress: dict[Hashable, _FileInProgress] = {}
        self._lock = threading.Lock()

    def get(self, visitor: str, key: Hashable, make: Callable[[], File]) -> File:
        """Return a file, made by this call or by an equal request that is already running.

        Args:
            visitor: Name of the visitor who requests the file.
            key: Key that is the same for equal files.
            make: Function that makes the file.

        Raises:
            BusyError: There are too many requests.
            SupersededError: The visitor has made another request or has left.
        """
        request = _Request(key)
        with self._lock:
            if len(self._active) >= self._max_requests or self._active.count(visitor) >= MAX_PER_VISITOR:
                raise BusyError("The server is busy with other downloads. Try again in a minute.")
            self._active.append(visitor)
            self._latest[visitor] = request
        try:
            while True:
                with self._lock:
                    job = self._in_progress.get(key)
                    is_new = job is None
                    if job is None:
                        job = self._in_progress[key] = _FileInProgress()
                if is_new:
                    return self._make(key, job, make)
                while not job.done.wait(_CHECK_SECONDS):
                    if self._latest.get(visitor) is not request or not self._is_connected(visitor):
                        raise SupersededError("the visitor has requested another file or has left")
                if job.file is not None:
                    return job.file
        finally:
            with self._lock:
                self._active.remove(visitor)
                if self._latest.get(visitor) is request:
                    del self._latest[visitor]

    def _make(self, key: Hashable, job: _FileInProgress, make: Callable[[], File]) -> File:
        try:
            with visitor.working_for_visitor(lambda: self._check_requested(key)):
                job.file = make()
                return job.file
        finally:
            with self._lock:
                del self._in_progress[key]
            job.done.set()  # Waiting requests now read the file or, after an error, make it themselves.

    def _check_requested(self, key: Hashable) -> None:
        with self._lock:
            names = [visitor for visitor, request in self._latest.items() if request.key == key]
        if not any(map(self._is_connected, names)):
            raise SupersededError("no visitor is waiting for this file")


DOWNLOADS = Downloads()


def on_demand(key: Hashable, make: Callable[[], File], *, queued: bool = False) -> Callable[[], File]:
    """Return a function for `st.download_button` that makes the file when the visitor requests it.

    Call it while a page runs.

    Args:
        key: Everything that the file depends on; requests with equal keys share one file.
        make: Function that makes the file.
        queued: Whether `make` enters the model queue itself.
    """
    visitor = current_visitor()
    return lambda: DOWNLOADS.get(visitor, key, make if queued else lambda: run_in_model_queue(make))
