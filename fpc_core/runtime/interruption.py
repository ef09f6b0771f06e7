"""Lets a caller interrupt long work: the work passes checkpoints, the caller says what happens at each.

A checkpoint costs nothing worth mentioning. Between two of them lie some tenths of a second of compiled code at most.
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
    """Call `check` at every checkpoint passed within, in this thread, after those of outer calls.

    Args:
        check: Raises to end the work, waits to have it pause, returns to have it go on.
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
    """Let whoever called for this work interrupt it here. Raises what their check raises."""
    check = _check.get()
    if check is not None:
        check()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Pass no checkpoint within: for work that holds a lock of the whole process, with which nobody may pause."""
    before = _check.set(None)
    try:
        yield
    finally:
        _check.reset(before)


class once(Generic[_T]):  # noqa: N801 - used as a decorator, like property
    """A property computed at its first use, as `functools.cached_property`, but without a lock.

    Until Python 3.12 that one holds a lock over all instances while it computes. Where the computation passes a
    checkpoint and pauses there, the thread it pauses for could need the same lock, and both would wait for ever.
    """

    def __init__(self, make: Callable[[Any], _T]) -> None:
        self._make, self._name = make, ""
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> once[_T]: ...

    @overload
    def __get__(self, instance: object, owner: type | None = None) -> _T: ...

    def __get__(self, instance: object | None, owner: type | None = None) -> once[_T] | _T:
        if instance is None:
            return self
        value = self._make(instance)
        instance.__dict__[self._name] = value  # found there from now on, before this
        return value
