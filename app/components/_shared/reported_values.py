"""What a component's browser side reported, read in one guarded way.

Whatever arrives here may be forged, damaged or late: a page that was left has no state any more, and its components'
callbacks still run. So nothing is raised: a report that cannot be used counts as none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import streamlit as st

from app.session.view import Pin
from fpc_core.bounds import Range

MAX_VALUES = 100  # values in a report, all levels together
MAX_CHARACTERS = 2_000  # of all its texts together
_T = TypeVar("_T")
_ROW = re.compile(r"\d{1,9}", re.ASCII)
_COUNT = Range(0, 2**53, whole=True)  # whole numbers that JavaScript counts without gaps


def received(
    key: str, name: str, read: Callable[[Any], _T], *, parts: int = MAX_VALUES, letters: int = MAX_CHARACTERS
) -> _T | None:
    """Return what a component reported, or None where it reported nothing that can be used.

    Args:
        key: The component's key.
        name: Of the state or trigger value.
        read: Checks the value and returns it as it is used; raises ValueError, TypeError, KeyError or OverflowError.
        parts: How many values it may hold, all levels together.
        letters: How many characters its texts may have together.
    """
    state = st.session_state.get(key)
    value = state.get(name) if isinstance(state, Mapping) else None
    if value is None or not is_small(value, parts, letters):
        return None
    try:
        return read(value)
    except (ValueError, TypeError, KeyError, OverflowError):
        return None


def is_small(value: Any, parts: int, letters: int) -> bool:
    """Return whether a JSON value holds at most so many values and characters; takes no longer for larger ones."""
    todo = [value]
    while todo:
        each = todo.pop()
        if isinstance(each, str):
            letters -= len(each)
        elif isinstance(each, (Mapping, list)):
            parts -= len(each)  # all of them, before the first is looked at
            if parts < 0:
                return False
            if isinstance(each, Mapping):
                letters -= sum(len(str(name)) for name in each)
            todo.extend(each.values() if isinstance(each, Mapping) else each)
        if letters < 0:
            return False
    return True


def one_of(offered: Collection[str]) -> Callable[[Any], str]:
    """Return a reader of a choice among the ids that were drawn."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in offered:
            raise ValueError("not among the choices")
        return value

    return read


def row(value: Any) -> str:
    """Return the row of a memory as text. Raises ValueError for anything else."""
    if not isinstance(value, str) or not _ROW.fullmatch(value):
        raise ValueError("no row")
    return value


def pin(value: Any) -> tuple[Pin | None]:
    """Return the pinned patch, in a tuple: None in it where one was let go. Raises ValueError for anything else."""
    if not isinstance(value, str):
        raise ValueError("no pin")
    return (Pin.parse(value) if value else None,)


def count(value: Any) -> int:
    """Return a whole number from 0. Raises ValueError for anything else."""
    if value not in _COUNT:
        raise ValueError("no count")
    return int(value)


def numbers(ranges: Mapping[str, tuple[float, float]]) -> Callable[[Any], dict[str, float]]:
    """Return a reader of named numbers. Raises KeyError for one that is missing, ValueError for one out of its range.

    Args:
        ranges: Smallest and largest of each, by name.
    """

    def read(value: Any) -> dict[str, float]:
        result: dict[str, float] = {}
        for name, (low, high) in ranges.items():
            if value[name] not in Range(low, high):
                raise ValueError(f"{name} out of range")
            result[name] = value[name]
        return result

    return read
