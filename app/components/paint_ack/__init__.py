"""Invisible component that reports to the server when the browser has painted its last response."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app.components import source
from app.components._shared.reported_values import count, received

_mount = st.components.v2.component(
    "fpc_paint_ack", html="<div data-paint-ack></div>", js=source("_shared/dom.js", "paint_ack/paint_ack.js")
)


def paint_ack(number: int, *, key: str, on_painted: Callable[[int], None]) -> None:
    """Call back once the browser has painted what was drawn before this component.

    The browser repeats its report until the component is removed.

    Args:
        number: Number to report.
        key: Key of the component.
        on_painted: Callback that receives the number, or 0 if the component has been removed meanwhile.
    """

    def on_change() -> None:
        on_painted(received(key, "painted", count) or 0)  # A late report, after the page was redrawn, has no value.

    _mount(key=key, data=number, on_painted_change=on_change)
