"""The visitor for whom a thread works. A visitor is a browser tab, which can disconnect or make a newer request."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import parse_qs

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

_KEY = "visitor"


class _VisitorWork(threading.local):
    """State of a thread that works for a visitor without running a page.

    Attributes:
        check: Function that raises if the visitor no longer needs the work; None for other threads.
    """

    check: Callable[[], None] | None = None


_visitor_work = _VisitorWork()


def in_page_run() -> bool:
    """Return whether this thread is running a page."""
    return get_script_run_ctx(suppress_warning=True) is not None


def page_run() -> str:
    """Return Streamlit's id of the page that this thread is running, or an empty string."""
    context = get_script_run_ctx(suppress_warning=True)
    return "" if context is None else context.page_script_hash


def url_params() -> dict[str, list[str]]:
    """Return the query parameters of the browser's URL.

    Until a widget that is bound to a parameter is drawn, `st.query_params` may lack the parameter.
    """
    context = get_script_run_ctx(suppress_warning=True)
    return {} if context is None else parse_qs(context.query_string, keep_blank_values=True)


def page_params() -> dict[str, list[str]]:
    """Return the query parameters of a page that has been drawn.

    A previous run that is ending may change them during the iteration. The iteration is then repeated.
    """
    for _ in range(9):
        with suppress(RuntimeError):
            return {name: st.query_params.get_all(name) for name in st.query_params}
    return {name: st.query_params.get_all(name) for name in st.query_params}


def forget_fragments() -> None:
    """Remove from Streamlit all fragments that this visitor's pages have drawn so far."""
    context = get_script_run_ctx(suppress_warning=True)
    if context is not None:
        context.fragment_storage.clear()


def current_visitor() -> str:
    """Return the name of this browser tab, which identifies the visitor in queues and background jobs."""
    context = get_script_run_ctx(suppress_warning=True)
    session = "" if context is None else context.session_id
    return f"{session}/{st.session_state.setdefault(_KEY, uuid.uuid4().hex)}"


def is_connected(name: str) -> bool:
    """Return whether the visitor with this name is connected; text after the `current_visitor` name is ignored."""
    session = name.partition("/")[0]
    return not runtime.exists() or runtime.get_instance().is_active_session(session)


@contextmanager
def working_for_visitor(check: Callable[[], None]) -> Iterator[None]:
    """Mark this thread as working for a visitor outside a page run, for example for a download.

    Such a thread waits in queues like a page.

    Args:
        check: Function that raises if the visitor no longer needs the work.
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
    """Raise an exception if the visitor no longer needs the work of this thread.

    In a page run, an access to the session state is enough, because it makes Streamlit stop a superseded run.
    """
    if _visitor_work.check is not None:
        _visitor_work.check()
    elif in_page_run():
        _ = _KEY in st.session_state
