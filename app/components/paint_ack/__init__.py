"""Report to the server that its last answer is painted; shows nothing."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app.components import source
from app.components._shared.reported_values import count, received

_mount = st.components.v2.component(
    "fpc_paint_ack", html="<div data-paint-ack></div>", js=source("_shared/dom.js", "paint_ack/paint_ack.js")
)


def paint_ack(number: int, *, key: str, on_painted: Callable[[int], None]) -> None:
    """Call `on_painted` with the number once the browser has painted what was drawn before this component.

    The browser repeats the report until the component is removed; a report after that calls `on_painted` with 0.
    """

    def on_change() -> None:
        on_painted(received(key, "painted", count) or 0)  # no value if the report is late and the page has been redrawn

    _mount(key=key, data=number, on_painted_change=on_change)
