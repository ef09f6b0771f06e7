"""What a dial that was let go waits for, and what else may run meanwhile.

Under load Streamlit makes one run of several messages, drops what an ended run had still to send, and takes the URL of
whichever message came last. So a release counts until the browser says that its answer is painted: until then its
values stand in the URL, and every other fragment runs with the one that answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import streamlit as st
from streamlit.errors import StreamlitAPIException

from app.session import visitor

_PENDING, _PAINTED, _NUMBERS = "awaited", "painted", "awaited-numbers"
_DRAWN = "page-drawn"


@dataclass(frozen=True)
class PendingRelease:
    """fragment: the key of the one that answers.  number: of the release.  values: of the dials, by name."""

    fragment: str
    number: int
    values: Mapping[str, float]


def note_page() -> None:
    """Remember which page is drawn. Call it in every run of a whole page, before the page itself.

    Streamlit forgets the fragments of the last page only where the next page runs to its end. Until then a late message
    would draw one of them into the next page, so they are forgotten before it.
    """
    if _page_left():
        visitor.forget_fragments()
    st.session_state[_DRAWN] = visitor.page_run()


def _page_left() -> bool:
    """Return whether, in a callback, the visitor has gone to another page than the one that reports.

    That page's fragments are known until the next one is drawn, and would be drawn into it.
    """
    drawn = st.session_state.get(_DRAWN)
    return drawn is not None and drawn != visitor.page_run()


def pending() -> PendingRelease | None:
    """The release whose answer is not painted yet."""
    return st.session_state.get(_PENDING)


def rerun_fragment_for_release(key: str, values: Mapping[str, float]) -> None:
    """In a callback: these values were let go; run this fragment at once."""
    if _page_left():
        return
    st.session_state[_NUMBERS] = st.session_state.get(_NUMBERS, 0) + 1
    st.session_state[_PENDING] = PendingRelease(key, st.session_state[_NUMBERS], dict(values))
    with suppress(StreamlitAPIException):  # no such fragment: the page is still being drawn, and draws it
        st.rerun(key)


def run_fragment(key: str) -> None:
    """In a callback: run this fragment alone, and with it the one that is awaited.

    Where the page that has the fragment was left meanwhile there is no such fragment: then nothing but the page that
    the visitor has gone to runs.
    """
    if _page_left():
        return
    first = pending()
    if first is not None and first.fragment != key:
        with suppress(StreamlitAPIException):  # of a page that was left
            st.rerun([first.fragment, key])
    with suppress(StreamlitAPIException):
        st.rerun(key)


def on_answer_painted(number: int) -> None:
    """In a callback: the browser shows the answer to this release. The page follows, unless the next one is awaited.

    It follows at the values let go: where a dial was moved there and back at once, the browser may have heard last of
    the way there, for the way back changed nothing in the URL that came with it.  number: 0 where the page has followed
    before this was heard, so that it is not known any more.
    """
    if _page_left():
        return
    first = pending()
    if first is not None and first.number != number:
        run_fragment(first.fragment)
        return  # the fragment is gone with its page, and what was awaited with it
    if first is not None:
        st.session_state[_PAINTED] = first
    clear_pending()
    last = st.session_state.get(_PAINTED)
    if last is not None and number in (0, last.number):  # the browser says it again where the page is slow to follow
        from app.session.view import (
            write_slider_params,  # not above: with it come libraries, and the title would wait for them
        )

        write_slider_params(st.query_params, last.values)
    st.rerun()


def clear_pending() -> None:
    """Nothing is awaited any more."""
    st.session_state.pop(_PENDING, None)
