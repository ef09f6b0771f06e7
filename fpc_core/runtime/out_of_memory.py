"""Fallbacks for when memory runs out: release what is only cached, compute smaller parts, then compute on the CPU.

How many rows are computed at once changes no result beyond rounding; how many fit is found by halving. Every step down
is written to the log `fpc.shortage`, which the command line shows on stderr, and collected by `collect_oom_events`.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from operator import itemgetter
from typing import Any, Concatenate, ParamSpec, Protocol, Self, TypeVar

import torch

from fpc_core.runtime.interruption import checkpoint

_P = ParamSpec("_P")
_T = TypeVar("_T")
_LOG = logging.getLogger("fpc.shortage")
_listeners: ContextVar[tuple[list[str], ...]] = ContextVar("listeners", default=())
# How torch, CUDA's libraries and the operating system report it where they have no exception type for it.
_MESSAGES = ("out of memory", "can't allocate memory", "not enough memory", "_ALLOC_FAILED")


class OutOfMemoryError(RuntimeError):
    """Neither smaller parts nor the CPU were enough."""


class OomFallback:
    """Computes rows on a device, as many at once as fit. What was found to fit applies to later calls as well."""

    def __init__(self, what: str, device: torch.device) -> None:
        """Create the fallback for one kind of work.

        Args:
            what: Name of the work in messages, such as "the encoder".
            device: Where the work runs first.
        """
        self._what, self._device = what, device
        self._max_rows: int | None = None  # rows at once; None: all, 0: none on this device

    def __call__(
        self,
        rows: int,
        work: Callable[[slice], _T],
        join: Callable[[Sequence[_T]], _T],
        on_cpu: Callable[[], _T],
        free_memory: Callable[[], str] = str,
    ) -> _T:
        """Run `work` on all rows and join its parts.

        Parts that were computed before the memory ran out are kept, as long as the device has memory for one row.

        Args:
            rows: How many rows there are.
            work: Computes the rows of a slice.
            join: Makes one result of the results of consecutive slices.
            on_cpu: Computes all rows on the CPU. Not called where the device is the CPU.
            free_memory: Releases memory of the device that is only cached; returns what was released, "" for nothing.

        Raises:
            OutOfMemoryError: The CPU has no memory for a single row.
        """
        parts: list[_T] = []
        start, before = 0, self._max_rows
        while start < rows and self._max_rows != 0:
            count = min(rows - start, self._max_rows or rows)
            try:
                parts.append(work(slice(start, start + count)))
                start += count
                continue
            except Exception as error:  # handled below: in here, its traceback would keep the allocated tensors alive
                if not is_out_of_memory(error):
                    raise
            freed = free_memory()
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            if freed:
                self._report(freed)
            else:
                self._max_rows = count // 2
        if self._max_rows and self._max_rows != before:
            self._report(f"computed in parts of {self._max_rows}")
        if self._max_rows != 0:
            return parts[0] if len(parts) == 1 else join(parts)
        if self._device.type == "cpu":
            raise OutOfMemoryError(f"out of memory in {self._what}; close other programs or use a smaller model")
        if self._max_rows != before:
            self._report("computed on the CPU")
        return on_cpu()

    def _report(self, instead: str) -> None:
        _report(f"{str(self._device).upper()} ran out of memory in {self._what}: {instead}")


class Movable(Protocol):
    """What `out_of_memory_fallback` needs of the object whose method it decorates."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""

    @property
    def on_cpu(self) -> Self:
        """The same object on the CPU."""

    def free_memory(self) -> str:
        """Release memory of the device that is only cached, and return what was released."""


_M = TypeVar("_M", bound=Movable)


def out_of_memory_fallback(
    what: str, *, split: Sequence[str] = (), join: Callable[[Sequence[Any]], Any] = itemgetter(0)
) -> Callable[[Callable[Concatenate[_M, _P], _T]], Callable[Concatenate[_M, _P], _T]]:
    """Decorate a method so that it falls back to smaller parts, then to `self.on_cpu`, when memory runs out.

    The method moves its arguments to `self.device` and returns results whose parts `join` can put together. It can be
    interrupted before every part (`fpc_core.runtime.interruption`).

    Args:
        what: Name of the work in messages, such as "the encoder".
        split: Names of the arguments that are sliced together, the first of which gives the number of rows; None stays
            None. Empty for work that cannot be divided.
        join: Makes one result of the results of consecutive rows.
    """

    def decorate(method: Callable[Concatenate[_M, _P], _T]) -> Callable[Concatenate[_M, _P], _T]:
        signature = inspect.signature(method)

        @wraps(method)
        def run(self: _M, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
            bound = signature.bind(self, *args, **kwargs)
            arguments = dict(list(bound.arguments.items())[1:])

            def part(rows: slice) -> _T:
                checkpoint()
                sliced = {name: arguments[name][rows] for name in split if arguments.get(name) is not None}
                return method(self, **{**arguments, **sliced})  # type: ignore[call-arg]

            rows = len(arguments[split[0]]) if split else 1
            return OomFallback(what, self.device)(
                rows, part, join, lambda: run(self.on_cpu, *args, **kwargs), self.free_memory
            )

        return run

    return decorate


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that a device or the machine ran out of memory."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(message in str(error) for message in _MESSAGES)


@contextmanager
def collect_oom_events() -> Iterator[list[str]]:
    """Collect one sentence for every fallback of this thread within the block."""
    events: list[str] = []
    before = _listeners.get()
    _listeners.set((*before, events))
    try:
        yield events
    finally:
        _listeners.set(before)


def _report(text: str) -> None:
    _LOG.warning("%s", text)
    for events in _listeners.get():
        events.append(text)
