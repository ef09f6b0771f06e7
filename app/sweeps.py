"""A sweep in the background: shared by the visitors who ask for the same, and what a page may know of it any time."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum

from app.background import Job, Steps, Worker
from fpc_core.evaluation.sweep import SweepColumn, SweepTask, run_sweep
from fpc_core.evaluation.sweep_store import SweepStore


class State(StrEnum):
    """idle: not begun in this session of the server, or done."""

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


class Sweep:
    """One sweep on a worker. It opens with what the store knows, and what it finds out is kept there."""

    def __init__(self, task: SweepTask, store: SweepStore, worker: Worker) -> None:
        self.task = task
        self._store, self._worker = store, worker
        self._lock = threading.Lock()
        self._name = uuid.uuid4().hex
        self._job: Job | None = None
        self._began, self._at_first = 0.0, 0
        self._keeps = True
        kept = store.load(task)
        self._columns, self._notes = kept.columns, kept.notes

    def look(self) -> Look:
        with self._lock:
            state, done, total = self._state(), self._done(), self._total()
            computed, left = done - self._at_first, None
            if state is State.RUNNING and computed:
                left = (time.monotonic() - self._began) / computed * (total - done)
            error = "" if self._job is None or self._job.error is None else str(self._job.error)
            return Look(state, self._columns, done, total, left, self._notes, error)

    def start(self, visitor: str) -> None:
        """Go on in the background for this visitor, whose other sweep, if there is one, stops."""
        with self._lock:
            if self._state() not in (State.WAITING, State.RUNNING):
                self._name = uuid.uuid4().hex  # the worker remembers the job that ended under the old one
            self._job = self._worker.want(visitor, self._name, self._total(), self._steps)

    def stop(self, visitor: str) -> None:
        """This visitor wants it no more; it ends after the query at hand unless another one does. Nothing is lost."""
        self._worker.leave(visitor)

    def _steps(self) -> Steps:
        self._began, self._at_first = time.monotonic(), self._done()
        with closing(run_sweep(self.task, self._columns, self._save)) as found:
            for keep_rate, column in found:
                self._columns = {**self._columns, keep_rate: column}  # replaced whole: a look sees one moment
                yield

    def _state(self) -> State:
        job = self._job
        if job is None or (job.finished and job.error is None):
            return State.IDLE
        if job.finished:
            return State.FAILED
        if job.dropped:
            return State.STOPPED
        return State.RUNNING if job.done else State.WAITING

    def _save(self, task: SweepTask, keep_rate: float, column: SweepColumn) -> None:
        """Results that cannot be kept are still worth having: say so once and go on."""
        if not self._keeps:
            return
        try:
            self._store.save(task, keep_rate, column)
        except OSError as problem:
            self._keeps = False
            self._notes += (str(problem),)

    def _done(self) -> int:
        return sum(int(column.known.sum()) for column in self._columns.values())

    def _total(self) -> int:
        return len(self.task.queries) * len(self.task.grid.keep_rates)
