"""Which part of a page runs again, where the wishes of several components meet."""

from __future__ import annotations

from contextlib import suppress

import streamlit as st
from streamlit.errors import StreamlitAPIException

_AWAITED, _NUMBERS = "awaited", "awaited-numbers"


def await_fragment(key: str) -> None:
    """In a callback: run this fragment at once. Whatever else is asked for meanwhile, it runs until `arrived`."""
    st.session_state[_NUMBERS] = st.session_state.get(_NUMBERS, 0) + 1
    st.session_state[_AWAITED] = (key, st.session_state[_NUMBERS])
    with suppress(StreamlitAPIException):  # no such fragment: the page is still being drawn, and draws it
        st.rerun(key)


def arrived() -> int:
    """The fragment was drawn, alone or with the page: the number of what was awaited, 0 for nothing."""
    return st.session_state.pop(_AWAITED, ("", 0))[1]


def run_fragment(key: str) -> None:
    """In a callback: run this fragment alone, and with it the one that is awaited.

    Under load Streamlit makes one run of two messages: without the second name the answer to a dial would be lost to
    a question of a background feed that came with it.
    """
    awaited, _ = st.session_state.get(_AWAITED, ("", 0))
    if awaited:
        with suppress(StreamlitAPIException):  # of a page that was left
            st.rerun([awaited, key])
    st.rerun(key)
