"""Keep the browser's history to one entry per page, and page links safe from messages of the page they leave."""

from __future__ import annotations

import streamlit as st

from app.components import source

_mount = st.components.v2.component(
    "fpc_page_history", html="<div></div>", js=source("page_history/navigation.js", "page_history/page_history.js")
)


def page_history() -> None:
    """Mount the invisible component. It works for the whole browser tab from then on."""
    _mount(key="page-history")
