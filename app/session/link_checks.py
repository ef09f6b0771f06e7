"""Messages about link parameters that a bound widget cannot take.

Such a widget silently falls back to its default. Call these functions before it is drawn, while the link is unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

MAX_LISTED = 12  # options that a message lists
MAX_VALUES = 100  # values of a parameter that are checked; usual links have a few
MAX_MESSAGES = 5  # per parameter


def check_choice(key: str, offered: Iterable[object]) -> tuple[str, ...]:
    """Return messages about values that are not among these options, which are written as on screen."""
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
    """Return messages about values outside a slider's range."""
    return tuple(
        f"The link sets {key} to {text[:60]}, but the allowed range is {low:g} to {high:g}. Ignoring it."
        for text in st.query_params.get_all(key)[:MAX_VALUES]
        if not _within(text, low, high)
    )[:MAX_MESSAGES]


def check_switch(key: str) -> tuple[str, ...]:
    """Return messages about values other than true and false."""
    return check_choice(key, ("true", "false"))


def _within(text: str, low: float, high: float) -> bool:
    try:
        return low <= float(text) <= high
    except ValueError:
        return False
