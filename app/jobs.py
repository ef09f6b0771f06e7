"""Sweeps in the background: one worker thread for all visitors, and what a page may know of a sweep at any time."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum

from fpc_core.evaluation.sweep import SweepColumn, SweepTask, run_sweep
from fpc_core.evaluation.sweep_store import SweepStore

WAITING_LINE = 8  # sweeps that may wait for the worker


class BusyError(RuntimeError):
    """Too many sweeps wait already."""


class Worker:
    """Runs one call after the other, so that sweeps never take more than their share of the machine."""

    def __init__(self) -> None:
        self._calls: queue.Queue[Callable[[], None]] = queue.Queue(WAITING_LINE)
        # A daemon: results are kept after every batch, so the server may end at any time.
        threading.Thread(target=self._work, name="sweeps", daemon=True).start()

    def submit(self, call: Callable[[], None]) -> None:
        """Raises BusyError where the line is full."""
        try:
            self._calls.put_nowait(call)
        except queue.Full:
            raise BusyError(f"{WAITING_LINE} sweeps are waiting already; try again when one has ended") from None

    def _work(self) -> None:
        while True:
            self._calls.get()()


class State(StrEnum):
    IDLE = "idle"
    WAITING = "waiting"
    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True)
class Look:
    """A sweep at one moment. done, total: queries times keep rates; seconds_left: None while nothing can be said."""

    state: State
    columns: Mapping[float, SweepColumn]
    done: int
    total: int
    seconds_left: float | None
    notes: tuple[str, ...]
    error: str

    @property
    def complete(self) -> bool:
        return self.done == self.total

    @property
    def active(self) -> bool:
        return self.state in (State.WAITING, State.RUNNING)


class SweepJob:
    """One sweep, shared by all visitors who ask for the same. Opened with what the store knows."""

    def __init__(self, task: SweepTask, store: SweepStore, worker: Worker) -> None:
        self.task = task
        self._store, self._worker = store, worker
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._state, self._error = State.IDLE, ""
        self._began, self._at_first = 0.0, 0
        self._keeps = True
        kept = store.load(task)
        self._columns, self._notes = kept.columns, kept.notes

    def look(self) -> Look:
        with self._lock:
            done, total = self._done(), len(self.task.queries) * len(self.task.grid.keep_rates)
            computed, left = done - self._at_first, None
            if self._state is State.RUNNING and computed:
                left = (time.monotonic() - self._began) / computed * (total - done)
            return Look(self._state, dict(self._columns), done, total, left, self._notes, self._error)

    def start(self) -> None:
        """Go on in the background; nothing happens where it is under way. Raises BusyError."""
        with self._lock:
            if self._state in (State.WAITING, State.RUNNING):
                return
            self._stop.clear()
            self._worker.submit(self._run)
            self._state, self._error = State.WAITING, ""

    def stop(self) -> None:
        """End after the query at hand. What is known stays, here and on disk."""
        self._stop.set()

    def _run(self) -> None:
        with self._lock:
            self._state = State.RUNNING
            self._began, self._at_first = time.monotonic(), self._done()
        state, error = State.IDLE, ""
        try:
            with closing(run_sweep(self.task, self._columns, self._save)) as steps:
                while not self._stop.is_set() and (step := next(steps, None)) is not None:
                    with self._lock:
                        self._columns = {**self._columns, step[0]: step[1]}
            if self._stop.is_set():
                state = State.STOPPED
        except Exception as problem:  # a thread has no caller: the page shows it
            state, error = State.FAILED, str(problem) or type(problem).__name__
        with self._lock:
            self._state, self._error = state, error

    def _save(self, task: SweepTask, keep_rate: float, column: SweepColumn) -> None:
        """Results that cannot be kept are still worth having: say so once and go on."""
        if not self._keeps:
            return
        try:
            self._store.save(task, keep_rate, column)
        except OSError as problem:
            self._keeps = False
            with self._lock:
                self._notes += (str(problem),)

    def _done(self) -> int:
        return sum(int(column.known.sum()) for column in self._columns.values())
