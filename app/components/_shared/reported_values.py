"""Guarded reading of values that a component's browser side reports.

A report may be forged, damaged or late: callbacks of a page's components still run after the page was left and its
state is gone. Therefore nothing is raised; an unusable report counts as none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import streamlit as st

from app.session.view import Pin
from fpc_core.bounds import Range

MAX_VALUES = 100  # in a report, all levels together
MAX_CHARACTERS = 2_000  # in all strings of a report
_T = TypeVar("_T")
_ROW = re.compile(r"\d{1,9}", re.ASCII)
_COUNT = Range(0, 2**53, whole=True)  # whole numbers that JavaScript counts without gaps


def received(
    key: str,
    name: str,
    read: Callable[[Any], _T],
    *,
    max_values: int = MAX_VALUES,
    max_characters: int = MAX_CHARACTERS,
) -> _T | None:
    """Return what a component reported, or None for nothing usable.

    Args:
        key: The component's key.
        name: Of the state or trigger value.
        read: Checks and converts the value; raises ValueError, TypeError, KeyError or OverflowError.
        max_values: Largest number of values, all levels together.
        max_characters: Largest number of characters of all texts.
    """
    state = st.session_state.get(key)
    value = state.get(name) if isinstance(state, Mapping) else None
    if value is None or not is_small(value, max_values, max_characters):
        return None
    try:
        return read(value)
    except (ValueError, TypeError, KeyError, OverflowError):
        return None


def is_small(value: Any, max_values: int, max_characters: int) -> bool:
    """Return whether a JSON value is within both limits, in a time that they bound."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            max_characters -= len(item)
        elif isinstance(item, (Mapping, list)):
            max_values -= len(item)  # counted before they are visited
            if max_values < 0:
                return False
            if isinstance(item, Mapping):
                max_characters -= sum(len(str(name)) for name in item)
            pending.extend(item.values() if isinstance(item, Mapping) else item)
        if max_characters < 0:
            return False
    return True


def one_of(offered: Collection[str]) -> Callable[[Any], str]:
    """Return a reader for a choice among these ids."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in offered:
            raise ValueError("not among the choices")
        return value

    return read


def row(value: Any) -> str:
    """Return a gallery row as text. Raises ValueError for anything else."""
    if not isinstance(value, str) or not _ROW.fullmatch(value):
        raise ValueError("not a gallery row")
    return value


def pin(value: Any) -> tuple[Pin | None]:
    """Return a 1-tuple of the pinned patch, None in it for no pin. Raises ValueError for anything else."""
    if not isinstance(value, str):
        raise ValueError("not a pin")
    return (Pin.parse(value) if value else None,)


def count(value: Any) -> int:
    """Return a whole number from 0. Raises ValueError for anything else."""
    if value not in _COUNT:
        raise ValueError("not a count")
    return int(value)


def numbers(ranges: Mapping[str, tuple[float, float]]) -> Callable[[Any], dict[str, float]]:
    """Return a reader for named numbers.

    It raises KeyError for a missing number and ValueError for one outside its range.

    Args:
        ranges: Minimum and maximum by name.
    """

    def read(value: Any) -> dict[str, float]:
        result: dict[str, float] = {}
        for name, (low, high) in ranges.items():
            if value[name] not in Range(low, high):
                raise ValueError(f"{name} out of range")
            result[name] = value[name]
        return result

    return read
