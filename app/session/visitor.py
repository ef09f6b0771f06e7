"""The visitor of a run: one browser tab, whether it is connected, and whether it still needs the run."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

_KEY = "visitor"


class _VisitorWork(threading.local):
    """Of a thread that runs no page: checks whether the visitor still needs its work."""

    check: Callable[[], None] | None = None


_visitor_work = _VisitorWork()


def in_page_run() -> bool:
    """Return whether this thread runs a page."""
    return get_script_run_ctx(suppress_warning=True) is not None


def page_run() -> str:
    """Return Streamlit's name of the page that this thread runs, or an empty text."""
    context = get_script_run_ctx(suppress_warning=True)
    return "" if context is None else context.page_script_hash


def forget_fragments() -> None:
    """Make Streamlit forget the fragments that this visitor's pages have drawn so far."""
    context = get_script_run_ctx(suppress_warning=True)
    if context is not None:
        context.fragment_storage.clear()


def current_visitor() -> str:
    """Return a name for this browser tab, for queues and background jobs."""
    context = get_script_run_ctx(suppress_warning=True)
    session = "" if context is None else context.session_id
    return f"{session}/{st.session_state.setdefault(_KEY, uuid.uuid4().hex)}"


def is_connected(name: str) -> bool:
    """Return whether the tab is connected whose `current_visitor` name this one begins with."""
    session = name.partition("/")[0]
    return not runtime.exists() or runtime.get_instance().is_active_session(session)


@contextmanager
def working_for_visitor(check: Callable[[], None]) -> Iterator[None]:
    """Mark this thread as working for a visitor outside a page run, for example for a download.

    Such a thread takes its turn in queues.

    Args:
        check: Raises if the visitor no longer needs the work.
    """
    before, _visitor_work.check = _visitor_work.check, check
    try:
        yield
    finally:
        _visitor_work.check = before


def works_for_visitor() -> bool:
    """Return whether this thread works for a visitor outside a page run."""
    return _visitor_work.check is not None


def stop_if_superseded() -> None:
    """Stop this run if the visitor no longer needs it. Streamlit stops a page run on access to session state."""
    if _visitor_work.check is not None:
        _visitor_work.check()
    elif in_page_run():
        _ = _KEY in st.session_state
