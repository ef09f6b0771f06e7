"""Background jobs that a page can start, stop and poll; visitors who ask for the same share one job."""

from __future__ import annotations

import threading
import time
import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from app.server.worker import Job, Steps, Worker


class JobState(StrEnum):
    """IDLE: complete, or not started since the server started."""

    IDLE = "idle"
    WAITING = "waiting"
    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True)
class JobStatus:
    """A job at one moment.

    Attributes:
        state: Whether it runs.
        done: Steps that are complete, also by earlier runs.
        total: Steps of the whole job.
        seconds_left: Estimate, or None if there is none yet.
        error: What ended the job, or empty.
        notes: Other messages for the visitor.
        known: What is computed so far.
    """

    state: JobState
    done: int
    total: int
    seconds_left: float | None
    error: str
    notes: tuple[str, ...] = ()
    known: Any = None

    @property
    def active(self) -> bool:
        return self.state in (JobState.WAITING, JobState.RUNNING)

    @property
    def complete(self) -> bool:
        return self.done == self.total


class BackgroundJob(ABC):
    """Work in steps on a background worker. What is computed survives a stop; a restart resumes there.

    Subclasses implement `_steps` and `_done`, and replace `known` as a whole so that a status never mixes two moments.
    """

    known: Any = None

    def __init__(self, worker: Worker, total: int, subscriber: str = "") -> None:
        """Create the job without starting it.

        Args:
            worker: Runs the steps.
            total: Steps of the whole job.
            subscriber: Keeps the job running in place of visitors, for work that belongs to none of them.
        """
        self.notes: tuple[str, ...] = ()
        self._worker, self._total, self._subscriber = worker, total, subscriber
        self._lock = threading.Lock()
        self._key = uuid.uuid4().hex
        self._job: Job | None = None
        self._started, self._done_at_start = 0.0, 0

    @abstractmethod
    def _steps(self) -> Steps:
        """Compute step by step, resuming from `known`."""

    @abstractmethod
    def _done(self, known: Any) -> int:
        """Return how many steps are complete."""

    def status(self) -> JobStatus:
        with self._lock:
            known = self.known
            state, done, seconds_left = self._state(), self._done(known), None
            computed = done - self._done_at_start
            if state is JobState.RUNNING and computed > 0:
                seconds_left = (time.monotonic() - self._started) / computed * (self._total - done)
            error = "" if self._job is None or self._job.error is None else str(self._job.error)
            notes = (*self.notes, *(self._job.notes if self._job else ()))
            return JobStatus(state, done, self._total, seconds_left, error, notes, known)

    def start(self, visitor: str = "") -> None:
        """Start or resume the job for a visitor, whose other job on this worker stops."""
        with self._lock:
            if self._state() not in (JobState.WAITING, JobState.RUNNING):
                self._key = uuid.uuid4().hex  # the worker still knows the job that ended under the old key
            self._job = self._worker.submit(self._subscriber or visitor, self._key, self._total, self._run)

    def stop(self, visitor: str = "") -> None:
        """Stop after the current step, unless another visitor waits for the job."""
        self._worker.cancel(self._subscriber or visitor)

    def _run(self) -> Steps:
        self._started, self._done_at_start = time.monotonic(), self._done(self.known)
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
