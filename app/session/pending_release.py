"""The last slider release whose answer is not painted yet.

Under load Streamlit merges several messages into one run, drops what an ended run had still to send, and takes the URL
of the last message. Therefore a release counts until the browser reports its answer as painted: its values replace
those of the URL, and every other fragment that runs also reruns the one that answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import streamlit as st
from streamlit.errors import StreamlitAPIException

from app.session import visitor

_PENDING, _PAINTED, _COUNT = "pending-release", "painted-release", "release-count"
_DRAWN = "drawn-page"


@dataclass(frozen=True)
class PendingRelease:
    """A release of sliders.

    Attributes:
        fragment: Key of the fragment that answers.
        number: Counts the releases of the session.
        values: Of the sliders, by name.
    """

    fragment: str
    number: int
    values: Mapping[str, float]


def record_page() -> None:
    """Remember which page is drawn. Call it in every run of a whole page, before the page.

    Streamlit forgets the fragments of the last page only once the next page has run to its end. Until then a late
    message would draw one of them into the next page, so they are forgotten first.
    """
    if _page_left():
        visitor.forget_fragments()
    st.session_state[_DRAWN] = visitor.page_run()


def _page_left() -> bool:
    """Return whether, in a callback, the visitor has left the page that reports.

    Its fragments remain known until the next page is drawn, and would be drawn into that page.
    """
    drawn = st.session_state.get(_DRAWN)
    return drawn is not None and drawn != visitor.page_run()


def pending() -> PendingRelease | None:
    """Return the release whose answer is not painted yet."""
    return st.session_state.get(_PENDING)


def rerun_fragment_for_release(key: str, values: Mapping[str, float]) -> None:
    """Store a release and rerun this fragment at once. Call it in a callback."""
    if _page_left():
        return
    st.session_state[_COUNT] = st.session_state.get(_COUNT, 0) + 1
    st.session_state[_PENDING] = PendingRelease(key, st.session_state[_COUNT], dict(values))
    with suppress(StreamlitAPIException):  # no such fragment yet: the page is being drawn and will draw it
        st.rerun(key)


def run_fragment(key: str) -> None:
    """Run this fragment alone, together with the one that answers a pending release. Call it in a callback.

    If the visitor has left the page of the fragment, only the new page runs.
    """
    if _page_left():
        return
    release = pending()
    if release is not None and release.fragment != key:
        with suppress(StreamlitAPIException):  # the fragment of a page that was left
            st.rerun([release.fragment, key])
    with suppress(StreamlitAPIException):
        st.rerun(key)


def on_answer_painted(number: int) -> None:
    """Rerun the whole page, unless a newer release is pending. Call it in a callback.

    The page is drawn with the released values. If a slider was moved away and back at once, the URL may hold an
    intermediate value, because the way back changed nothing in the URL that came with it.

    Args:
        number: Release whose answer is painted; 0 if the page has been redrawn before this report arrived.
    """
    if _page_left():
        return
    release = pending()
    if release is not None and release.number != number:
        run_fragment(release.fragment)
        return
    if release is not None:
        st.session_state[_PAINTED] = release
    clear_pending()
    last = st.session_state.get(_PAINTED)
    if last is not None and number in (0, last.number):  # a browser repeats its report while the page is slow
        # Not imported above: the title of a page would wait for its libraries.
        from app.session.view import write_slider_params

        write_slider_params(st.query_params, last.values)
    st.rerun()


def clear_pending() -> None:
    """Forget the pending release."""
    st.session_state.pop(_PENDING, None)
