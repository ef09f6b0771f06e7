"""Work that is done while nobody waits: one thread, in steps, and none of it for a visitor who has moved on or left."""

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

LONG_STEP = 2.0  # seconds: a shorter step is done to its end, even when nobody waits for it any more
_LOG = logging.getLogger("fpc.background")
Steps = Generator[None, None, Any]


@dataclass(eq=False)
class Job:
    """One piece of work. done, total: steps.  result: what the steps returned, once `finished`.  size: bytes of it.

    error: what ended it instead.  subscribers: the visitors who wait for it.  cancelled: it ended because nobody did.
    notes: out-of-memory notices (`fpc_core.runtime.out_of_memory`).  other_active_jobs: unfinished jobs beside this one
    at the last `submit`.
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


class NobodyWaits(BaseException):
    """Ends a step of a job at its next checkpoint. No error, so nothing on the way takes it for one."""


class Worker:
    """Does jobs step by step in turn, so that no visitor waits for another one's whole job.

    Visitors who want the same key share one job. A visitor wants one job at a time: asking for the next gives up the
    last, and a job that nobody wants stops before its next step.
    """

    def __init__(
        self,
        kept: int = 160,
        kept_bytes: int = 128 * MB,
        *,
        prepare: Callable[[], None] | None = None,
        is_here: Callable[[str], bool] = bool,
    ) -> None:
        """kept, kept_bytes: finished jobs whose results are kept, the latest asked for: three for each of fifty
        visitors, or they would be computed again and again.  prepare: called once in the thread.  is_here: of a
        visitor's name; who has left without a word wants nothing any more."""
        self._kept, self._kept_bytes, self._is_here = kept, kept_bytes, is_here
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="background", initializer=prepare)

    def submit(self, visitor: str, key: str, total: int, start: Callable[[], Steps]) -> Job:
        """The job of this key, begun if it is new; one that ended early is begun anew for who has not seen it fail.

        start: makes its steps, called once.  total: how many.
        """
        with self._lock:
            self._leave(visitor, but=key)
            job = self._jobs.get(key)
            if job is None or (job.error and visitor not in job.subscribers):
                job = self._jobs[key] = Job(start(), total)
                self._pool.submit(self._step, key, job)
            job.subscribers.add(visitor)
            self._jobs.move_to_end(key)
            job.other_active_jobs = sum(not each.finished for each in self._jobs.values() if each is not job)
            self._shrink(but=key)
        return job

    def _shrink(self, but: str) -> None:
        done = {name: each.size for name, each in self._jobs.items() if each.finished}
        count, size = len(done), sum(done.values())
        for name, each in done.items():
            if count <= self._kept and size <= self._kept_bytes:
                return
            if name != but:
                del self._jobs[name]
                count, size = count - 1, size - each

    def leave(self, visitor: str) -> None:
        """The visitor wants nothing any more."""
        with self._lock:
            self._leave(visitor)

    def _leave(self, visitor: str, but: str | None = None) -> None:
        for key, job in list(self._jobs.items()):
            if key != but:
                job.subscribers.discard(visitor)
                if job.finished and not job.subscribers:
                    del self._jobs[key]

    def _check_wanted(self, job: Job, began: float) -> None:
        """Raise NobodyWaits in the middle of a long step that nobody waits for any more."""
        if time.monotonic() - began < LONG_STEP:
            return
        with self._lock:
            wanted = any(self._is_here(each) for each in job.subscribers)
        if not wanted:
            raise NobodyWaits

    def _step(self, key: str, job: Job) -> None:
        with self._lock:
            job.subscribers = {each for each in job.subscribers if self._is_here(each)}
            if not job.subscribers:
                job.steps.close()
                job.cancelled = True
                del self._jobs[key]
                return
        end: Exception | None = None
        began = time.monotonic()
        with collect_oom_events() as heard, interruptible(lambda: self._check_wanted(job, began)):
            try:
                next(job.steps)
            except NobodyWaits:
                with self._lock:
                    job.cancelled = True
                    if self._jobs.get(key) is job:
                        del self._jobs[key]
                return
            except Exception as error:
                end = error
        job.notes = tuple(dict.fromkeys((*job.notes, *heard)))
        if end is None:
            job.done += 1
            self._pool.submit(self._step, key, job)
            return
        if isinstance(end, StopIteration):
            job.result, job.size = end.value, size_of(end.value)
        else:
            _LOG.error("a background job failed", exc_info=end)
            job.error = end
        job.finished = True
