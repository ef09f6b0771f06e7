"""First-come, first-served queues in which visitors take turns.

On a few cores, parallel searches slow each other down. Therefore computations with the model wait in `MODEL_QUEUE`,
and a long one pauses to let others run. Cached results need no slot in it. Background jobs need none either, because
they have their own threads; `job_worker.py` limits how many jobs a visitor has. Files for download wait in it too, and
`downloads.py` limits their number.

All pages share one Python interpreter, so `PAGE_QUEUE` lets one page run at a time. The fragment that responds to a
released slider skips that queue. A page releases its slot while it computes or reads a visitor's input.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import streamlit as st
import torch

from app.session.visitor import in_page_run, stop_if_superseded, works_for_visitor

_CHECK_SECONDS = 0.25  # Interval between checks that a waiting visitor still needs the slot.
_SHOWN_SECONDS = 1.5  # Minimum time for which a queue position stays on screen.
TURN_SECONDS = 1.0  # Computing time after which a thread lets waiting visitors run.
MAX_SECONDS = 300.0  # Maximum computing time of a request, all its turns together.
MAX_WAITING = 64  # Maximum number of threads that wait for the model.


class BusyError(RuntimeError):
    """Raised when too many visitors are waiting."""


class TooLongError(BusyError):
    """Raised when a request takes more computing time than `MAX_SECONDS`."""


class _ThreadState(threading.local):
    """State of a thread in a queue.

    Attributes:
        inside: Whether the thread has a slot.
        since: Time at which it got the slot, in seconds of the monotonic clock.
        earlier: Seconds for which it had slots earlier in the same request.
    """

    inside = False
    since = 0.0
    earlier = 0.0


class FairQueue:
    """Queue with a fixed number of slots, which admits waiting threads in the order of their arrival."""

    def __init__(self, slots: int, max_waiting: int, *, show_position: bool = True) -> None:
        """Create an empty queue.

        Args:
            slots: Number of threads that can have a slot at the same time.
            max_waiting: Maximum number of waiting threads.
            show_position: Whether waiting visitors see how many are ahead of them.
        """
        self._free, self._max_waiting, self._show_position = slots, max_waiting, show_position
        self._waiting: list[threading.Event] = []
        self._lock = threading.Lock()
        self._thread = _ThreadState()

    @property
    def waiting(self) -> int:
        """Return the number of waiting threads."""
        return len(self._waiting)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for a slot and occupy it inside the `with` block.

        A thread that does not work for a visitor needs no slot. The wait ends with an exception if the visitor no
        longer needs the slot.

        Raises:
            BusyError: The queue is full.
        """
        if not in_page_run() and not works_for_visitor():
            yield
            return
        self._thread.earlier = 0.0
        self._enter()
        try:
            yield
        finally:
            self._leave()

    @contextmanager
    def release_while(self) -> Iterator[None]:
        """Release the slot inside the `with` block, then wait at the front of the queue to get it back.

        Do nothing if the thread has no slot.
        """
        if not self._thread.inside:
            yield
            return
        self._leave()
        yield
        self._enter(first=True)

    def take_turns(self) -> None:
        """Let waiting visitors run if this thread has had its slot for `TURN_SECONDS`. Call it often in long work.

        The thread then waits at the end of the queue. Exceptions of `stop_if_superseded` are raised here.

        Raises:
            TooLongError: The request has taken more computing time than `MAX_SECONDS`.
        """
        if not self._thread.inside:
            return
        stop_if_superseded()
        inside = time.monotonic() - self._thread.since
        if self._thread.earlier + inside > MAX_SECONDS:
            raise TooLongError(
                f"This would take the server more than {MAX_SECONDS / 60:g} minutes. Request less at once, or "
                "use the command line on your own machine."
            )
        if self._waiting and inside > TURN_SECONDS:
            self._leave()
            self._enter(again=True)

    def _leave(self) -> None:
        if self._thread.inside:
            self._thread.inside = False
            self._thread.earlier += time.monotonic() - self._thread.since
            self._admit(released=1)

    def _enter(self, first: bool = False, again: bool = False) -> None:
        turn = threading.Event()
        with self._lock:
            if not first and not again and self._free == 0 and len(self._waiting) >= self._max_waiting:
                raise BusyError(f"The server is busy ({len(self._waiting)} users waiting). Try again in a minute.")
            self._waiting.insert(0 if first else len(self._waiting), turn)
        self._admit()
        try:
            with ExitStack() as sign:
                shown, since = -1, 0.0
                while not turn.wait(_CHECK_SECONDS):
                    stop_if_superseded()
                    before = self._ahead_of(turn)
                    if (
                        self._show_position
                        and in_page_run()
                        and before != shown
                        and time.monotonic() - since > _SHOWN_SECONDS
                    ):
                        sign.close()
                        sign.enter_context(st.spinner(f"In the queue: {before} ahead of you"))
                        shown, since = before, time.monotonic()
        except BaseException:
            with self._lock:
                admitted = turn not in self._waiting  # The slot may have been assigned just before the visitor left.
                if not admitted:
                    self._waiting.remove(turn)
            self._admit(released=int(admitted))
            raise
        self._thread.inside, self._thread.since = True, time.monotonic()

    def _admit(self, released: int = 0) -> None:
        """Return released slots and wake the next threads. Waking all would delay those that can run."""
        with self._lock:
            self._free += released
            while self._free and self._waiting:
                self._free -= 1
                self._waiting.pop(0).set()

    def _ahead_of(self, turn: threading.Event) -> int:
        """Return the number of threads ahead of this one: those waiting before it and the one that runs."""
        with self._lock:
            return 1 + (self._waiting.index(turn) if turn in self._waiting else 0)


# A search releases the interpreter lock at each of its many steps. With a short switch interval it gets the lock back
# soon, even while pages run.
sys.setswitchinterval(0.0005)
# With a GPU, one search runs at a time, else one for every two CPU cores.
MODEL_QUEUE = FairQueue(1 if torch.cuda.is_available() else max(1, (os.cpu_count() or 1) // 2), MAX_WAITING)
# No position is shown, because a waiting visitor still sees the previous page. There is one slot, because with two or
# three no page is ready sooner and ranked images take two or three times as long to appear (measured by
# `python -m tests.load.load`). The queue is longer than the model's, because a page takes 0.1 s but a search seconds.
PAGE_QUEUE = FairQueue(1, 4 * MAX_WAITING, show_position=False)
