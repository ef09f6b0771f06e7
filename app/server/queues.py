"""Queues in which visitors take turns: a few at a time, first come first served.

Side by side on few cores every search would take longer and none would end sooner: what visitors have the model compute
passes GATE; who computes for long lets the others have turns. What a cache holds never waits there, nor does background
work, which has one thread of its own. And many pages drawn at once hold each other up, for they share one interpreter:
they pass PAGES, so that a dial let go, whose strips wait in no queue of pages, is answered at once. A page that
computes, or reads what a visitor sent, lets others draw meanwhile.
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

from app.session.visitor import in_page_run, stop_if_superseded, works_off_page

_CHECK_SECONDS = 0.25  # seconds between two looks whether a visitor who waits still wants it
_SHOWN_SECONDS = 1.5  # seconds for which a place in the queue stays on screen at least
TURN = 1.0  # seconds after which who computes lets those who wait have their turn
MOST_SECONDS = 300.0  # that one visitor's request may compute, all its turns together
MAX_WAITING = 64


class BusyError(RuntimeError):
    """More visitors wait than the app lets wait."""


class TooLongError(BusyError):
    """One visitor's request takes longer than the app lets one compute."""


class _ThreadState(threading.local):
    """Of every thread: whether it has passed, since when, and how long it was inside in its earlier turns."""

    inside = False
    since = 0.0
    earlier = 0.0


class FairQueue:
    """Lets `at_once` in at a time; at most `most_waiting` wait, in the order in which they came."""

    def __init__(self, at_once: int, most_waiting: int, *, told: bool = True) -> None:
        """told: whether a visitor who waits reads how many come before."""
        self._room, self._most, self._told = at_once, most_waiting, told
        self._waiting: list[threading.Event] = []
        self._lock = threading.Lock()
        self._here = _ThreadState()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Within, at most `at_once` visitors are; a thread that runs no page passes at once.

        A visitor who moves on leaves the queue. Raises BusyError where the queue is full.
        """
        if not in_page_run() and not works_off_page():
            yield
            return
        self._here.earlier = 0.0
        self._enter()
        try:
            yield
        finally:
            self._leave()

    @contextmanager
    def release_while(self) -> Iterator[None]:
        """Within, who has passed lets others in, and is the next to come back. Nothing for who has not passed."""
        if not self._here.inside:
            yield
            return
        self._leave()
        yield
        self._enter(first=True)

    def take_turns(self) -> None:
        """Let others compute where this thread has done so for a while; call it again and again during long work.

        Who comes back does so behind all who wait, so that nobody waits for the whole of another one's work. Raises
        TooLongError after `MOST_SECONDS` inside, and what ends a run whose visitor has moved on.
        """
        if not self._here.inside:
            return
        stop_if_superseded()
        inside = time.monotonic() - self._here.since
        if self._here.earlier + inside > MOST_SECONDS:
            raise TooLongError(
                f"This would take the server more than {MOST_SECONDS / 60:g} minutes. Request less at once, or "
                "use the command line on your own machine."
            )
        if self._waiting and inside > TURN:
            self._leave()
            self._enter(again=True)

    def _leave(self) -> None:
        if self._here.inside:
            self._here.inside = False
            self._here.earlier += time.monotonic() - self._here.since
            self._let_in(room=1)

    def _enter(self, first: bool = False, again: bool = False) -> None:
        turn = threading.Event()
        with self._lock:
            if not first and not again and self._room == 0 and len(self._waiting) >= self._most:
                raise BusyError(f"The server is busy ({len(self._waiting)} users waiting). Try again in a minute.")
            self._waiting.insert(0 if first else len(self._waiting), turn)
        self._let_in()
        try:
            with ExitStack() as sign:
                told, since = -1, 0.0
                while not turn.wait(_CHECK_SECONDS):
                    stop_if_superseded()
                    before = self._before(turn)
                    if self._told and in_page_run() and before != told and time.monotonic() - since > _SHOWN_SECONDS:
                        sign.close()
                        sign.enter_context(st.spinner(f"In the queue: {before} ahead of you"))
                        told, since = before, time.monotonic()
        except BaseException:
            with self._lock:
                inside = turn not in self._waiting  # let in a moment before the visitor left
                if not inside:
                    self._waiting.remove(turn)
            self._let_in(room=int(inside))
            raise
        self._here.inside, self._here.since = True, time.monotonic()

    def _let_in(self, room: int = 0) -> None:
        """Wakes those whose turn it is and nobody else: many threads that wake only to wait again hold up the one."""
        with self._lock:
            self._room += room
            while self._room and self._waiting:
                self._room -= 1
                self._waiting.pop(0).set()

    def _before(self, turn: threading.Event) -> int:
        """How many are before this visitor: who waits, and one who computes."""
        with self._lock:
            return 1 + (self._waiting.index(turn) if turn in self._waiting else 0)


# A search gives up the interpreter at each of its many steps: among pages that draw it is to have it back soon.
sys.setswitchinterval(0.0005)
# One search per GPU, else one per two cores.
MODEL_QUEUE = FairQueue(1 if torch.cuda.is_available() else max(1, (os.cpu_count() or 1) // 2), MAX_WAITING)
# Who waits sees what was drawn last, so no word of it. With two or three at once no page is ready sooner, and strips
# wait two or three times as long (python -m tests.load.load).
PAGE_QUEUE = FairQueue(1, 4 * MAX_WAITING, told=False)  # a page takes its tenth of a second, a search may take seconds
