"""Tells the server that what it sent last is painted; it shows nothing itself."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app.components import source
from app.components._shared.reported_values import count, received

_mount = st.components.v2.component(
    "fpc_paint_ack", html="<div data-paint-ack></div>", js=source("_shared/dom.js", "paint_ack/paint_ack.js")
)


def paint_ack(number: int, *, key: str, on_painted: Callable[[int], None]) -> None:
    """Calls `on_painted` with the number when the browser has painted what was drawn before it, until this is no longer
    drawn; with 0 where that is so already."""

    def painted() -> None:
        on_painted(received(key, "painted", count) or 0)  # nothing where it came too late: the page has gone on

    _mount(key=key, data=number, on_painted_change=painted)
