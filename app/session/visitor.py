"""Who is at the page: a browser tab, whether it is still there, and whether it still wants the run at hand."""

from __future__ import annotations

import uuid

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

_KEY = "visitor"


def in_page_run() -> bool:
    """Whether this thread runs a page for somebody."""
    return get_script_run_ctx(suppress_warning=True) is not None


def current_visitor() -> str:
    """A name for this browser tab, by which queues and background work know who wants it."""
    context = get_script_run_ctx(suppress_warning=True)
    session = "" if context is None else context.session_id
    return f"{session}/{st.session_state.setdefault(_KEY, uuid.uuid4().hex)}"


def is_connected(name: str) -> bool:
    """Whether the tab is still connected whose name, of `current_visitor`, this one begins with."""
    session = name.partition("/")[0]
    return not runtime.exists() or runtime.get_instance().is_active_session(session)


def stop_if_superseded() -> None:
    """End this run where its visitor has moved on: Streamlit does so whenever a page touches its state."""
    if in_page_run():
        _ = _KEY in st.session_state
