"""Background worker: one thread that runs jobs step by step and drops jobs that no visitor waits for."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from app.server.cache import MB, size_of
from fpc_core.runtime.interruption import interruptible
from fpc_core.runtime.out_of_memory import collect_oom_events

MAX_RESULTS = 160  # Finished jobs that are stored: three for each of fifty visitors, so that few are computed again.
MAX_RESULT_BYTES = 128 * MB
LONG_STEP_SECONDS = 2.0  # Shorter steps run to their end even if no subscriber is left.
_LOG = logging.getLogger("fpc.background")
Steps = Generator[None, None, Any]


@dataclass(eq=False)
class Job:
    """A job of a worker.

    Attributes:
        steps: Generator that does one step at a time and returns the result.
        total: Number of steps.
        done: Number of completed steps.
        result: Return value of `steps` once the job has finished.
        size: Size of the result in bytes.
        error: Exception that ended the job; None if there was none.
        finished: Whether the job has ended with a result or an error.
        cancelled: Whether the job was dropped because no subscriber was left.
        notes: Out-of-memory messages (`fpc_core.runtime.out_of_memory`).
        subscribers: Visitors who wait for the job.
        other_active_jobs: Number of unfinished jobs besides this one at the last `submit`.
    """

    steps: Steps
    total: int
    done: int = 0
    result: Any = None
    size: int = 0
    error: Exception | None = None
    finished: bool = False
    cancelled: bool = False
    notes: tuple[str, ...] = ()
    subscribers: set[str] = field(default_factory=set)
    other_active_jobs: int = 0


class JobCancelled(BaseException):
    """Raised by `interruption.checkpoint` in a long step whose job has no subscriber left, to end the step.

    It does not derive from Exception, so that no handler treats it as an error.
    """


class Worker:
    """Runs jobs on one thread, one step of each in turn, so that no visitor waits for another visitor's whole job.

    Visitors who submit the same key share a job. A visitor has one job at a time: a new job cancels the previous
    subscription. A job without subscribers stops before its next step.
    """

    def __init__(
        self,
        max_results: int = MAX_RESULTS,
        max_result_bytes: int = MAX_RESULT_BYTES,
        *,
        prepare: Callable[[], None] | None = None,
        is_connected: Callable[[str], bool] = bool,
    ) -> None:
        """Create the worker; its thread starts with the first job.

        Args:
            max_results: Maximum number of finished jobs that are stored; the earliest submitted are removed first.
            max_result_bytes: Maximum total size of the results of these jobs.
            prepare: Function called once in the thread, before the first job.
            is_connected: Function that returns whether a visitor, given by name, is still connected. Jobs of
                disconnected visitors are dropped.
        """
        self._max_results, self._max_result_bytes, self._is_connected = max_results, max_result_bytes, is_connected
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="background", initializer=prepare)

    def submit(self, visitor: str, key: str, total: int, start: Callable[[], Steps]) -> Job:
        """Return the job for a key, starting it if it is new.

        A failed job is started again for a visitor who was not subscribed when it failed.

        Args:
            visitor: Name of the visitor who subscribes to the job.
            key: Key that identifies the job.
            total: Number of steps.
            start: Function that creates the steps; called only for a new job.
        """
        with self._lock:
            self._unsubscribe(visitor, keep=key)
            job = self._jobs.get(key)
            if job is None or (job.error and visitor not in job.subscribers):
                job = self._jobs[key] = Job(start(), total)
                self._pool.submit(self._step, key, job)
            job.subscribers.add(visitor)
            self._jobs.move_to_end(key)
            job.other_active_jobs = sum(not each.finished for each in self._jobs.values() if each is not job)
            self._evict(keep=key)
        return job

    def _evict(self, keep: str) -> None:
        done = {name: each.size for name, each in self._jobs.items() if each.finished}
        count, size = len(done), sum(done.values())
        for name, each in done.items():
            if count <= self._max_results and size <= self._max_result_bytes:
                return
            if name != keep:
                del self._jobs[name]
                count, size = count - 1, size - each

    def cancel(self, visitor: str) -> None:
        """Cancel the visitor's subscription to any job."""
        with self._lock:
            self._unsubscribe(visitor)

    def belongs_to(self, visitor: str, job: Job, is_connected: Callable[[str], bool]) -> bool:
        """Return whether the visitor is subscribed to the job. If all subscribers have left, subscribe the visitor.

        Args:
            visitor: Name of the visitor.
            job: Unfinished job.
            is_connected: Function that returns whether a visitor, given by name, is still connected.
        """
        with self._lock:
            # A job without subscribers was stopped and is about to end, so nobody is subscribed to it.
            if job.subscribers and not any(each == visitor or is_connected(each) for each in job.subscribers):
                job.subscribers = {visitor}
            return visitor in job.subscribers

    def _unsubscribe(self, visitor: str, keep: str | None = None) -> None:
        for key, job in list(self._jobs.items()):
            if key != keep:
                job.subscribers.discard(visitor)
                if job.finished and not job.subscribers:
                    del self._jobs[key]

    def _check_subscribed(self, job: Job, began: float) -> None:
        """Raise JobCancelled in a long step if no subscriber is left.

        Args:
            job: Job of the step.
            began: Start of the step, in seconds of the monotonic clock.
        """
        if time.monotonic() - began < LONG_STEP_SECONDS:
            return
        with self._lock:
            subscribed = any(self._is_connected(each) for each in job.subscribers)
        if not subscribed:
            raise JobCancelled

    def _step(self, key: str, job: Job) -> None:
        with self._lock:
            job.subscribers = {each for each in job.subscribers if self._is_connected(each)}
            if not job.subscribers:
                job.steps.close()
                job.cancelled = True
                del self._jobs[key]
                return
        error: Exception | None = None
        began = time.monotonic()
        with collect_oom_events() as messages, interruptible(lambda: self._check_subscribed(job, began)):
            try:
                next(job.steps)
            except JobCancelled:
                with self._lock:
                    job.cancelled = True
                    if self._jobs.get(key) is job:
                        del self._jobs[key]
                return
            except Exception as raised:
                error = raised
        job.notes = tuple(dict.fromkeys((*job.notes, *messages)))
        if error is None:
            job.done += 1
            self._pool.submit(self._step, key, job)
            return
        if isinstance(error, StopIteration):
            job.result, job.size = error.value, size_of(error.value)
        else:
            _LOG.error("a background job failed", exc_info=error)
            job.error = error
        job.finished = True
