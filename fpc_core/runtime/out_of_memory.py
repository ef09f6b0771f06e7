"""When memory runs out: without what is only kept, in smaller parts, then on the CPU, and it is said.

How many rows are computed at once changes no result beyond rounding; how few fit is found by halving. What a device has
no memory for even row by row is computed on the CPU. Every such step is written to the log `fpc.shortage` (the CLI
shows it on stderr) and told to whoever listens with `shortages`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import torch

_T = TypeVar("_T")
_LOG = logging.getLogger("fpc.shortage")
_heard: ContextVar[tuple[list[str], ...]] = ContextVar("heard", default=())
# How torch, CUDA's libraries and the operating system say it where they have no type for it.
_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "_ALLOC_FAILED")


class OutOfMemoryError(RuntimeError):
    """Neither smaller parts nor the CPU were enough; says for what."""


class OomFallback:
    """One kind of work on a device, in as many rows at once as fit; what was found to fit holds for later calls."""

    def __init__(self, what: str, device: torch.device) -> None:
        """what: is computed, as a message names it."""
        self._what, self._device = what, device
        self._most: int | None = None  # rows at once; None: all, 0: none on this device

    def __call__(
        self,
        rows: int,
        work: Callable[[slice], _T],
        join: Callable[[Sequence[_T]], _T],
        on_cpu: Callable[[], _T],
        relief: Callable[[], str] = str,
    ) -> _T:
        """`work` on all rows, its parts joined. What was computed before the memory ran out is not computed again, as
        long as the device has memory for a row.

        join: makes one result of those of consecutive rows.  on_cpu: does all of it, from the first row, on the CPU,
        where the device has no memory for one; not called where the device is the CPU.  relief: gives memory of the
        device back that is kept for speed alone, and says what became of it, nothing where there was none. Raises
        NoMemoryLeftError where nothing helps.
        """
        parts: list[_T] = []
        start, before = 0, self._most
        while start < rows and self._most != 0:
            count = min(rows - start, self._most or rows)
            try:
                parts.append(work(slice(start, start + count)))
                start += count
                continue
            except Exception as error:  # in here it would still hold what was allocated
                if not is_out_of_memory(error):
                    raise
            relieved = relief()
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            if relieved:
                self._tell(relieved)
            else:
                self._most = count // 2
        if self._most and self._most != before:
            self._tell(f"computed in parts of {self._most}")
        if self._most != 0:
            return parts[0] if len(parts) == 1 else join(parts)
        if self._device.type == "cpu":
            raise OutOfMemoryError(
                f"this machine has no memory left for {self._what}; close other programs, or take smaller weights"
            )
        if self._most != before:
            self._tell("computed on the CPU")
        return on_cpu()

    def _tell(self, instead: str) -> None:
        _say(f"{str(self._device).upper()} had no memory left for {self._what}: {instead}")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this says that memory ran out, of a device or of the machine."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(each in str(error) for each in _WORDS)


@contextmanager
def collect_oom_events() -> Iterator[list[str]]:
    """Collects what is said within, in this thread: a sentence for every step down."""
    heard: list[str] = []
    before = _heard.get()
    _heard.set((*before, heard))
    try:
        yield heard
    finally:
        _heard.set(before)


def _say(text: str) -> None:
    _LOG.warning("%s", text)
    for ear in _heard.get():
        ear.append(text)
