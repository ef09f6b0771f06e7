"""Safe reading of values that components report from the browser.

A report may be forged, damaged or late, because the callbacks of a page's components can run after the visitor has
left the page and its state is deleted. Therefore an invalid report is ignored without an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import streamlit as st

from app.session.view import Pin
from fpc_core.bounds import Range

MAX_VALUES = 100  # Maximum number of values in a report, on all levels together.
MAX_CHARACTERS = 2_000  # Maximum number of characters in all strings of a report.
_T = TypeVar("_T")
_ROW = re.compile(r"\d{1,9}", re.ASCII)
_COUNT = Range(0, 2**53, whole=True)  # Range in which JavaScript represents every whole number exactly.


def received(
    key: str,
    name: str,
    read: Callable[[Any], _T],
    *,
    max_values: int = MAX_VALUES,
    max_characters: int = MAX_CHARACTERS,
) -> _T | None:
    """Return the value that a component reported, or None if there is no valid value.

    Args:
        key: Key of the component.
        name: Name of the state or trigger value.
        read: Function that checks and converts the value. It may raise ValueError, TypeError, KeyError or
            OverflowError.
        max_values: Maximum number of values, on all levels together.
        max_characters: Maximum number of characters in all strings.
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
    """Return whether a JSON value is within both limits. The running time depends only on the limits.

    Args:
        value: Value of any JSON type.
        max_values: Maximum number of values, on all levels together.
        max_characters: Maximum number of characters in all strings.
    """
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            max_characters -= len(item)
        elif isinstance(item, (Mapping, list)):
            max_values -= len(item)  # Counted before the items are visited, so that a huge list is rejected at once.
            if max_values < 0:
                return False
            if isinstance(item, Mapping):
                max_characters -= sum(len(str(name)) for name in item)
            pending.extend(item.values() if isinstance(item, Mapping) else item)
        if max_characters < 0:
            return False
    return True


def one_of(offered: Collection[str]) -> Callable[[Any], str]:
    """Return a reader that accepts only the offered ids and raises ValueError for other values."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in offered:
            raise ValueError(f"{value!r:.60} is not among the choices")
        return value

    return read


def row(value: Any) -> str:
    """Return a reported gallery row as text. Raises ValueError if the value is not a row."""
    if not isinstance(value, str) or not _ROW.fullmatch(value):
        raise ValueError(f"{value!r:.60} is not a gallery row")
    return value


def pin(value: Any) -> tuple[Pin | None]:
    """Return a 1-tuple with the reported pin, or with None for no pin. Raises ValueError if the value is not a pin."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.60} is not a pin")
    return (Pin.parse(value) if value else None,)


def count(value: Any) -> int:
    """Return a reported whole number. Raises ValueError if the value is not a whole number of at least 0."""
    if value not in _COUNT:
        raise ValueError(f"{value!r:.60} is not a whole number of at least 0")
    return int(value)


def numbers(ranges: Mapping[str, tuple[float, float]]) -> Callable[[Any], dict[str, float]]:
    """Return a reader for numbers by name.

    The reader raises KeyError for a missing number and ValueError for a number outside its range.

    Args:
        ranges: Minimum and maximum of each number, by name.
    """

    def read(value: Any) -> dict[str, float]:
        result: dict[str, float] = {}
        for name, (low, high) in ranges.items():
            if value[name] not in Range(low, high):
                raise ValueError(f"{name} must be in {low:g}..{high:g}, got {value[name]!r:.60}")
            result[name] = value[name]
        return result

    return read
