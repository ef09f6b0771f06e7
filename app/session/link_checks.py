"""Checks of link parameters that are bound to a widget.

A bound widget silently uses its default if its parameter is invalid, and removes the parameter. Therefore call these
functions before the widget is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

MAX_LISTED = 12  # Maximum number of options that a message lists.
MAX_VALUES = 100  # Maximum number of values of a parameter that are checked; most links have only a few.
MAX_MESSAGES = 5  # Maximum number of messages per parameter.


def check_choice(key: str, offered: Iterable[object]) -> tuple[str, ...]:
    """Return messages about values of a query parameter that are not among the options.

    Args:
        key: Name of the query parameter.
        offered: Options as shown on screen.
    """
    options = [str(option) for option in offered]
    expected = (
        f"it must be one of {', '.join(options)}" if len(options) <= MAX_LISTED else "that is not among the choices"
    )
    return tuple(
        f"The link sets {key} to {text[:60]}, but {expected}. Ignoring it."
        for text in st.query_params.get_all(key)[:MAX_VALUES]
        if text and text not in options
    )[:MAX_MESSAGES]


def check_range(key: str, low: float, high: float) -> tuple[str, ...]:
    """Return messages about values of a query parameter that are outside a slider's range.

    Args:
        key: Name of the query parameter.
        low: Minimum of the slider.
        high: Maximum of the slider.
    """
    return tuple(
        f"The link sets {key} to {text[:60]}, but the allowed range is {low:g} to {high:g}. Ignoring it."
        for text in st.query_params.get_all(key)[:MAX_VALUES]
        if not _within(text, low, high)
    )[:MAX_MESSAGES]


def check_switch(key: str) -> tuple[str, ...]:
    """Return messages about values of a switch's parameter other than true and false."""
    return check_choice(key, ("true", "false"))


def _within(text: str, low: float, high: float) -> bool:
    try:
        return low <= float(text) <= high
    except ValueError:
        return False
