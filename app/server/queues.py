"""Queues in which visitors take turns, first come, first served.

On a few cores, searches that run side by side all take longer. Therefore computations of the model pass `MODEL_QUEUE`,
and a long one lets others have turns. Cached results and background work, which has a thread of its own, do not wait
there.

All pages share one interpreter, so they are drawn in turn in `PAGE_QUEUE`. The fragment that answers a released slider
is in no page queue and is drawn at once. A page that computes, or reads a visitor's input, releases its slot meanwhile.
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

_CHECK_SECONDS = 0.25  # between two checks whether a waiting visitor still needs the slot
_SHOWN_SECONDS = 1.5  # for which a queue position stays on screen at least
TURN_SECONDS = 1.0  # of computing, after which a thread lets waiting visitors in
MAX_SECONDS = 300.0  # of computing for one request, all turns together
MAX_WAITING = 64


class BusyError(RuntimeError):
    """Raised when the queue is full."""


class TooLongError(BusyError):
    """Raised when a request computes longer than allowed."""


class _ThreadState(threading.local):
    """A thread's state: whether it has a slot, since when, and for how long it had slots before."""

    inside = False
    since = 0.0
    earlier = 0.0


class FairQueue:
    """A queue with a number of slots; waiting threads are admitted in the order in which they came."""

    def __init__(self, slots: int, max_waiting: int, *, show_position: bool = True) -> None:
        """Create an empty queue.

        Args:
            slots: Threads admitted at a time.
            max_waiting: Longest queue.
            show_position: Whether waiting visitors see how many are ahead of them.
        """
        self._free, self._max_waiting, self._show_position = slots, max_waiting, show_position
        self._waiting: list[threading.Event] = []
        self._lock = threading.Lock()
        self._thread = _ThreadState()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold a slot. A thread that works for no visitor needs none; a visitor who moves on leaves the queue.

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
        """Give the slot to others, and wait at the front of the queue to get it back. Does nothing without a slot."""
        if not self._thread.inside:
            yield
            return
        self._leave()
        yield
        self._enter(first=True)

    def take_turns(self) -> None:
        """Let waiting visitors compute if this thread has computed for a while. Call it often during long work.

        The thread goes to the end of the queue, so that nobody waits for all of its work. Whatever ends a superseded
        run is raised here.

        Raises:
            TooLongError: The request has computed for more than `MAX_SECONDS`.
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
                admitted = turn not in self._waiting  # admitted just before the visitor left
                if not admitted:
                    self._waiting.remove(turn)
            self._admit(released=int(admitted))
            raise
        self._thread.inside, self._thread.since = True, time.monotonic()

    def _admit(self, released: int = 0) -> None:
        """Wake only the threads whose turn it is: waking all would delay the one that can run."""
        with self._lock:
            self._free += released
            while self._free and self._waiting:
                self._free -= 1
                self._waiting.pop(0).set()

    def _ahead_of(self, turn: threading.Event) -> int:
        """Return how many are ahead: those waiting and one that computes."""
        with self._lock:
            return 1 + (self._waiting.index(turn) if turn in self._waiting else 0)


# A search releases the interpreter at each of its many steps. A short interval returns it soon while pages are drawn.
sys.setswitchinterval(0.0005)
# One search per GPU, else one per two cores.
MODEL_QUEUE = FairQueue(1 if torch.cuda.is_available() else max(1, (os.cpu_count() or 1) // 2), MAX_WAITING)
# No position is shown: a waiting visitor still sees the last page. Two or three slots make no page ready sooner, and
# strips wait two or three times as long (python -m tests.load.load).
PAGE_QUEUE = FairQueue(1, 4 * MAX_WAITING, show_position=False)  # longer: a page takes 0.1 s, a search can take seconds
