"""Background jobs that a page can start, stop and poll; identical requests share one job."""

from __future__ import annotations

import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from app.server.job_worker import Job, Steps, Worker


class JobState(StrEnum):
    """State of a background job. IDLE means that it is complete, or was never started on this server."""

    IDLE = "idle"
    WAITING = "waiting"
    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True)
class JobStatus:
    """Snapshot of a job.

    Attributes:
        state: State of the job.
        done: Number of completed steps, including those of earlier runs.
        total: Number of steps of the whole job.
        seconds_left: Estimate of the remaining time, or None if there is none yet.
        error: Message of the error that ended the job, or empty.
        notes: Other messages for the visitor.
        known: Results so far.
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
        """Return whether the job is waiting or running."""
        return self.state in (JobState.WAITING, JobState.RUNNING)

    @property
    def complete(self) -> bool:
        """Return whether all steps are done."""
        return self.done == self.total


class BackgroundJob(ABC):
    """Base class of jobs that run step by step on a background worker.

    Results survive a stop, and a restart resumes from them. Subclasses implement `_steps` and `_done`. They replace
    `known` as a whole, so that a status never mixes results of two moments.
    """

    known: Any = None

    def __init__(self, worker: Worker, total: int, subscriber: str = "") -> None:
        """Create the job without starting it.

        Args:
            worker: Worker that runs the steps.
            total: Number of steps of the whole job.
            subscriber: Name under which every visitor subscribes. Set it for a job that continues when visitors leave
                and that any of them may stop.
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
        """Return a snapshot of the job."""
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
        """Start or resume the job for a visitor; this cancels the visitor's other job on this worker."""
        with self._lock:
            if self._state() not in (JobState.WAITING, JobState.RUNNING):
                self._key = uuid.uuid4().hex  # Under the old key the worker would return the job that has ended.
            self._job = self._worker.submit(self._subscriber or visitor, self._key, self._total, self._run)

    def stop(self, visitor: str = "") -> None:
        """Stop after the current step, unless another visitor waits for the job."""
        self._worker.cancel(self._subscriber or visitor)

    def belongs_to(self, visitor: str, is_connected: Callable[[str], bool]) -> bool:
        """Return whether this visitor runs the job, so that `stop` stops it.

        A job whose visitors have all left, for example by reloading the page, belongs to the next visitor for whom this
        function is called.

        Args:
            visitor: Name of the visitor, as in `start`.
            is_connected: Function that returns whether a visitor, given by name, is still connected.
        """
        if self._subscriber or self._job is None:
            return True
        return self._worker.belongs_to(visitor, self._job, is_connected)

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
