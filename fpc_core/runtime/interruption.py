"""Interrupt long computations at checkpoints, where the caller can stop or pause them.

The cost of a checkpoint is negligible. Compiled code runs for at most some tenths of a second between two checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Generic, TypeVar, overload

_T = TypeVar("_T")
_check: ContextVar[Callable[[], None] | None] = ContextVar("check", default=None)


@contextmanager
def interruptible(check: Callable[[], None]) -> Iterator[None]:
    """Call `check` at every checkpoint within the context, in this thread, after the checks of outer contexts.

    Args:
        check: Function that raises an exception to stop the computation, blocks to pause it, or returns to continue.
    """
    outer = _check.get()

    def both() -> None:
        if outer is not None:
            outer()
        check()

    before = _check.set(both)
    try:
        yield
    finally:
        _check.reset(before)


def checkpoint() -> None:
    """Let the caller of this computation interrupt it here.

    Raises:
        Exception: The caller's check raises it to stop the computation.
    """
    check = _check.get()
    if check is not None:
        check()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignore checkpoints within the context, for work that must not pause because it holds a process-wide lock."""
    before = _check.set(None)
    try:
        yield
    finally:
        _check.reset(before)


class lazy_property(Generic[_T]):  # noqa: N801 - The name is lower case because it is used as a decorator.
    """A property that is computed at first use, like `functools.cached_property` but without a lock.

    Before Python 3.12, `cached_property` locks all instances during the computation. If a computation pauses at a
    checkpoint until another thread is done, and that thread needs the same lock, neither can continue.
    """

    def __init__(self, make: Callable[[Any], _T]) -> None:
        self._make, self._name = make, ""
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> lazy_property[_T]: ...

    @overload
    def __get__(self, instance: object, owner: type | None = None) -> _T: ...

    def __get__(self, instance: object | None, owner: type | None = None) -> lazy_property[_T] | _T:
        if instance is None:
            return self
        value = self._make(instance)
        instance.__dict__[self._name] = value  # The instance attribute hides this descriptor in later accesses.
        return value
