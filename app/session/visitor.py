"""Who is at the page: a browser tab, whether it is still there, and whether it still wants the run at hand."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

_KEY = "visitor"


class _OffPage(threading.local):
    """Of every thread: how it asks whether its visitor still wants what it does, where it runs no page."""

    check: Callable[[], None] | None = None


_off_page = _OffPage()


def in_page_run() -> bool:
    """Whether this thread runs a page for somebody."""
    return get_script_run_ctx(suppress_warning=True) is not None


def page_run() -> str:
    """Return what Streamlit calls the page that this run is of; empty in a thread that runs no page."""
    context = get_script_run_ctx(suppress_warning=True)
    return "" if context is None else context.page_script_hash


def forget_fragments() -> None:
    """Have Streamlit forget the fragments that this visitor's pages have drawn so far."""
    context = get_script_run_ctx(suppress_warning=True)
    if context is not None:
        context.fragment_storage.clear()


def current_visitor() -> str:
    """A name for this browser tab, by which queues and background work know who wants it."""
    context = get_script_run_ctx(suppress_warning=True)
    session = "" if context is None else context.session_id
    return f"{session}/{st.session_state.setdefault(_KEY, uuid.uuid4().hex)}"


def is_connected(name: str) -> bool:
    """Whether the tab is still connected whose name, of `current_visitor`, this one begins with."""
    session = name.partition("/")[0]
    return not runtime.exists() or runtime.get_instance().is_active_session(session)


@contextmanager
def working_off_page(check: Callable[[], None]) -> Iterator[None]:
    """Mark this thread as working for a visitor without running a page, as for a download; it takes its turn too.

    Args:
        check: Raises where the visitor no longer wants the work.
    """
    before, _off_page.check = _off_page.check, check
    try:
        yield
    finally:
        _off_page.check = before


def works_off_page() -> bool:
    """Return whether this thread works for a visitor without running a page."""
    return _off_page.check is not None


def stop_if_superseded() -> None:
    """End this run where its visitor has moved on: Streamlit does so whenever a page touches its state."""
    if _off_page.check is not None:
        _off_page.check()
    elif in_page_run():
        _ = _KEY in st.session_state
