"""What a link asks of widgets that are bound to its parameters, and what of it they cannot have, in sentences.

Such a widget falls back by itself, and in silence. Call these before it is drawn: then the link is as it came.
"""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

MOST = 12  # options that a sentence names
MOST_ASKED = 100  # values of one parameter that are looked at; a link by hand or by the app has a few
MOST_TOLD = 5  # of them that a visitor is told about


def unknown(key: str, offered: Iterable[object]) -> tuple[str, ...]:
    """Of a choice among these, as they are written on screen."""
    options = [str(each) for each in offered]
    expected = f"it must be one of {', '.join(options)}" if len(options) <= MOST else "that is not among the choices"
    return tuple(
        f"The link sets {key} to {text[:60]}, but {expected}. Ignoring it."
        for text in st.query_params.get_all(key)[:MOST_ASKED]
        if text and text not in options
    )[:MOST_TOLD]


def beyond(key: str, low: float, high: float) -> tuple[str, ...]:
    """Of a slider, or of both ends of one."""
    return tuple(
        f"The link sets {key} to {text[:60]}, but the allowed range is {low:g} to {high:g}. Ignoring it."
        for text in st.query_params.get_all(key)[:MOST_ASKED]
        if not _within(text, low, high)
    )[:MOST_TOLD]


def no_switch(key: str) -> tuple[str, ...]:
    """Of what is on or off."""
    return unknown(key, ("true", "false"))


def _within(text: str, low: float, high: float) -> bool:
    try:
        return low <= float(text) <= high
    except ValueError:
        return False
