"""Background work that a page starts, stops and looks at any time; visitors who ask for the same share it."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from app.server.worker import Job, Steps, Worker


class JobState(StrEnum):
    """idle: not begun in this session of the server, or done."""

    IDLE = "idle"
    WAITING = "waiting"
    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True)
class JobStatus:
    """An errand at one moment. seconds_left: None while nothing can be said.  error: what ended it, else empty.

    notes: what else a visitor should know.
    """

    state: JobState
    done: int
    total: int
    seconds_left: float | None
    error: str
    notes: tuple[str, ...]

    @property
    def active(self) -> bool:
        return self.state in (JobState.WAITING, JobState.RUNNING)

    @property
    def complete(self) -> bool:
        return self.done == self.total


class HasStatus(Protocol):
    """What is done in the background, to be looked at."""

    def status(self) -> JobStatus: ...


class Startable(Protocol):
    """What is done in the background for those who want it."""

    def start(self, visitor: str) -> None: ...

    def stop(self, visitor: str) -> None: ...


class BackgroundJob:
    """One errand on a worker. What is done outlives its end: begun again it goes on, if its steps do."""

    def __init__(self, worker: Worker, total: int, steps: Callable[[], Steps], done: Callable[[], int]) -> None:
        """steps: makes the work, once per start.  done: how much of `total` is done, asked any time."""
        self._worker, self._total, self._steps, self._done = worker, total, steps, done
        self._lock = threading.Lock()
        self._name = uuid.uuid4().hex
        self._job: Job | None = None
        self._began, self._at_first = 0.0, 0

    def status(self) -> JobStatus:
        with self._lock:
            state, done = self._state(), self._done()
            computed, left = done - self._at_first, None
            if state is JobState.RUNNING and computed > 0:
                left = (time.monotonic() - self._began) / computed * (self._total - done)
            error = "" if self._job is None or self._job.error is None else str(self._job.error)
            return JobStatus(state, done, self._total, left, error, self._job.notes if self._job else ())

    def start(self, visitor: str) -> None:
        """Go on in the background for this visitor, whose other errand of this worker, if there is one, stops."""
        with self._lock:
            if self._state() not in (JobState.WAITING, JobState.RUNNING):
                self._name = uuid.uuid4().hex  # the worker remembers the job that ended under the old one
            self._job = self._worker.submit(visitor, self._name, self._total, self._run)

    def stop(self, visitor: str) -> None:
        """This visitor wants it no more; it ends after the step at hand unless another one does."""
        self._worker.leave(visitor)

    def _run(self) -> Steps:
        self._began, self._at_first = time.monotonic(), self._done()
        return (yield from self._steps())

    def _state(self) -> JobState:
        job = self._job
        if job is None or (job.finished and job.error is None):
            return JobState.IDLE
        if job.finished:
            return JobState.FAILED
        if job.cancelled:
            return JobState.STOPPED
        return JobState.RUNNING if job.done else JobState.WAITING
