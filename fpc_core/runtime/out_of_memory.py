"""Fallbacks if memory runs out: release caches, compute smaller parts, and finally compute on the CPU.

The number of rows that are computed together is halved until they fit, which changes results only by rounding. Every
fallback is written to the log `fpc.shortage`, which the command line shows on stderr, and is collected by
`collect_oom_events`.
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
# Texts of out-of-memory errors of torch, CUDA's libraries and the operating system that have no type of their own.
_MESSAGES = ("out of memory", "can't allocate memory", "not enough memory", "_ALLOC_FAILED")


class OutOfMemoryError(RuntimeError):
    """Memory ran out even after the work was split into smaller parts and moved to the CPU."""


class OomFallback:
    """Computes rows on a device in parts that fit its memory, or on the CPU if not even one row fits.

    Later calls start with the number of rows that fitted before.
    """

    def __init__(self, what: str, device: torch.device) -> None:
        """Create the fallback for one kind of work.

        Args:
            what: Name of the work in messages, such as "the encoder".
            device: Device that the work runs on first.
        """
        self._what, self._device = what, device
        self._max_rows: int | None = None  # Maximum number of rows at a time; None for all, 0 to use only the CPU.

    def __call__(
        self,
        rows: int,
        work: Callable[[slice], _T],
        join: Callable[[Sequence[_T]], _T],
        on_cpu: Callable[[], _T],
        free_memory: Callable[[], str] = str,
    ) -> _T:
        """Run `work` on all rows, and join the results of its parts.

        Results computed before memory ran out are reused, unless the device has no memory even for one row.

        Args:
            rows: Number of rows.
            work: Function that computes the rows of a slice.
            join: Function that joins the results of consecutive slices.
            on_cpu: Function that computes all rows on the CPU; it is not called if the device is the CPU.
            free_memory: Function that releases caches on the device and returns a notice, "" if nothing was released.

        Raises:
            OutOfMemoryError: The CPU does not have enough memory for one row.
        """
        parts: list[_T] = []
        start, before = 0, self._max_rows
        while start < rows and self._max_rows != 0:
            count = min(rows - start, self._max_rows or rows)
            try:
                parts.append(work(slice(start, start + count)))
                start += count
                continue
            except Exception as error:  # Recovery starts below, because in here the traceback keeps tensors allocated.
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
    """Interface of objects whose methods `out_of_memory_fallback` can decorate."""

    @property
    def device(self) -> torch.device:
        """Device on which the object computes."""

    @property
    def on_cpu(self) -> Self:
        """The same object on the CPU."""

    def free_memory(self) -> str:
        """Release caches on the device, and return a notice; "" if nothing was released."""


_M = TypeVar("_M", bound=Movable)


def out_of_memory_fallback(
    what: str, *, split: Sequence[str] = (), join: Callable[[Sequence[Any]], Any] = itemgetter(0)
) -> Callable[[Callable[Concatenate[_M, _P], _T]], Callable[Concatenate[_M, _P], _T]]:
    """Decorate a method so that it falls back to smaller parts, then to `self.on_cpu`, if memory runs out.

    The method must move its arguments to `self.device` and return results that `join` can join. It can be interrupted
    before every part (`fpc_core.runtime.interruption`).

    Args:
        what: Name of the work in messages, such as "the encoder".
        split: Names of the arguments that are sliced together; the first one determines the number of rows. Arguments
            that are None are not sliced. Empty for work that cannot be split.
        join: Function that joins the results of consecutive slices.
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
    """Collect a message for every fallback in this thread within the context."""
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
