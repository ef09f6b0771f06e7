"""Messages about invalid parameters of links, and checks of parameters that are bound to a widget.

A bound widget silently uses its default if its parameter is invalid, and removes the parameter. Therefore call the
checks before the widget is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

from app.session.shared_view import is_upload

MAX_LISTED = 12  # Maximum number of options that a message lists.
MAX_VALUES = 100  # Maximum number of values of a parameter that are checked; most links have only a few.
MAX_SHOWN = 60  # Maximum number of characters of a value that `invalid_value` quotes.
MAX_MESSAGES = 5  # Maximum number of messages per parameter.


def invalid_value(label: str, text: str, expected: str, instead: str = "Ignoring it.") -> str:
    """Return the message about an invalid value in a link.

    Args:
        label: Name of the parameter in words.
        text: Its value in the link.
        expected: Clause on the values that are allowed, such as "it must be true".
        instead: Sentence on what is used instead.
    """
    return f"The link sets {label} to {text[:MAX_SHOWN]}, but {expected}. {instead}"


def unknown_query(name: str, first_query: str) -> str:
    """Return the message about a query in a link that is neither in the dataset nor stored as an upload.

    Args:
        name: Name of the query in the link.
        first_query: Query that is shown instead.
    """
    if is_upload(name):
        return f"This link points to an uploaded image, which isn't stored on the server. Showing {first_query}."
    return f"The link's query {name[:120]} is not in this dataset. Showing {first_query}."


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
        invalid_value(key, text, expected)
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
        invalid_value(key, text, f"the allowed range is {low:g} to {high:g}")
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
