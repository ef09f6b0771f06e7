"""Tells the server that what it sent last is painted; it shows nothing itself."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app.components import source

_mount = st.components.v2.component("fpc_echo", html="<div data-echo></div>", js=source("echo.js"))


def echo(number: int, *, key: str, on_painted: Callable[[], None]) -> None:
    """Calls `on_painted` when the browser has painted what was drawn before it, until this is no longer drawn."""
    _mount(key=key, data=number, on_painted_change=on_painted)
