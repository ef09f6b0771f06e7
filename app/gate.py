"""What visitors have the model compute passes here, a few at a time, first come first served.

Side by side on few cores every search would take longer and none would end sooner. What a cache holds never waits here,
nor does background work, which has one thread of its own.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import streamlit as st
import torch

from app.visitors import on_a_page, still_wanted

_LOOK = 0.1  # seconds between two looks whether a visitor who waits still wants it
_TOLD = 1.5  # seconds for which a place in the queue stays on screen at least
MOST_WAITING = 64


class BusyError(RuntimeError):
    """More visitors wait than the app lets wait."""


class Gate:
    """Lets `at_once` in at a time; at most `most_waiting` wait, in the order in which they came."""

    def __init__(self, at_once: int, most_waiting: int) -> None:
        self._at_once, self._most = at_once, most_waiting
        self._inside = 0
        self._waiting: list[object] = []
        self._changed = threading.Condition()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @contextmanager
    def passed(self) -> Iterator[None]:
        """Within, at most `at_once` visitors compute; a thread that runs no page passes at once.

        While a visitor waits the page says how many come before. A visitor who moves on leaves the queue. Raises
        BusyError where the queue is full.
        """
        if not on_a_page():
            yield
            return
        self._enter()
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def _enter(self) -> None:
        ticket = object()
        with self._changed:
            if len(self._waiting) >= self._most:
                raise BusyError(
                    f"The server is busy: {len(self._waiting)} visitors wait for their results. Try again in a minute."
                )
            self._waiting.append(ticket)
        try:
            with ExitStack() as sign:
                told, since = -1, 0.0
                while (before := self._before(ticket)) >= 0:
                    still_wanted()
                    if before != told and time.monotonic() - since > _TOLD:
                        sign.close()
                        sign.enter_context(st.spinner(f"Waiting: {before} before you"))
                        told, since = before, time.monotonic()
        except BaseException:
            with self._changed:
                if ticket in self._waiting:
                    self._waiting.remove(ticket)
                else:  # let in a moment before the visitor left
                    self._inside -= 1
                self._changed.notify_all()
            raise

    def _before(self, ticket: object) -> int:
        """Waits a moment for the turn of this ticket: -1 when it is in, else how many are inside or before it."""
        with self._changed:
            if self._changed.wait_for(lambda: self._waiting[0] is ticket and self._inside < self._at_once, _LOOK):
                self._waiting.pop(0)
                self._inside += 1
                self._changed.notify_all()  # the next may have room too
                return -1
            return self._waiting.index(ticket) + self._inside


# One search per GPU, else one per two cores.
GATE = Gate(1 if torch.cuda.is_available() else max(1, (os.cpu_count() or 1) // 2), MOST_WAITING)
