"""Give each visited page and each choice one entry in the browser's history, and keep messages from undoing a click."""

from __future__ import annotations

import streamlit as st

from app.components import source

_mount = st.components.v2.component(
    "fpc_page_history", html="<div></div>", js=source("page_history/navigation.js", "page_history/page_history.js")
)


def page_history() -> None:
    """Mount the invisible component. It works for the whole browser tab from then on."""
    _mount(key="page-history")
