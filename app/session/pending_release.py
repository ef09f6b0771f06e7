"""The last slider release for which the browser has not painted the result yet.

Under load, Streamlit merges several messages into one run, discards the unsent output of a run that it ends, and uses
the URL of the last message. Therefore a release stays pending until the browser reports that its result is painted.
Until then, its values replace those of the URL, and every rerun of a fragment also reruns the fragment that shows the
result.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import streamlit as st
from streamlit.errors import StreamlitAPIException

from app.session import visitor

_PENDING, _PAINTED, _COUNT = "pending-release", "painted-release", "release-count"
_DRAWN = "drawn-page"


@dataclass(frozen=True)
class PendingRelease:
    """Values of the sliders when the visitor released one.

    Attributes:
        fragment: Key of the fragment that shows the result.
        number: Number of the release in this session, starting at 1.
        values: Values of the sliders and patches dropped by hand, by the name of their query parameter.
    """

    fragment: str
    number: int
    values: Mapping[str, float | str]


def record_page() -> None:
    """Store which page is being drawn. Call it in every run of a whole page, before the page itself runs.

    Streamlit removes the fragments of the previous page only at the end of the next page's run. Until then, a late
    message would draw such a fragment into the next page, so this function removes them first.
    """
    if _page_left():
        visitor.forget_fragments()
    st.session_state[_DRAWN] = visitor.page_run()


def _page_left() -> bool:
    """Return whether the visitor has already left the page that sent the message. Call it in a callback.

    Streamlit stores the fragments of that page until the next page is drawn, and would draw them into the next page.
    """
    drawn = st.session_state.get(_DRAWN)
    return drawn is not None and drawn != visitor.page_run()


def pending() -> PendingRelease | None:
    """Return the release whose result is not painted yet, or None."""
    return st.session_state.get(_PENDING)


def rerun_fragment_for_release(key: str, values: Mapping[str, float | str]) -> None:
    """Store a release and rerun the fragment that shows its result at once. Call it in a callback.

    Values of the previous release that the new one does not contain stay pending.

    Args:
        key: Key of the fragment.
        values: Released values by the name of their query parameter.
    """
    if _page_left():
        return
    st.session_state[_COUNT] = st.session_state.get(_COUNT, 0) + 1
    earlier = pending()
    still_pending = {} if earlier is None or earlier.fragment != key else earlier.values
    st.session_state[_PENDING] = PendingRelease(key, st.session_state[_COUNT], {**still_pending, **values})
    with suppress(StreamlitAPIException):  # The fragment does not exist yet; the current run of the page will draw it.
        st.rerun(key)


def run_fragment(key: str) -> None:
    """Rerun only this fragment and the one that shows the result of a pending release. Call it in a callback.

    Do nothing if the visitor has left the page of the fragment.
    """
    if _page_left():
        return
    release = pending()
    if release is not None and release.fragment != key:
        with suppress(StreamlitAPIException):  # The release's fragment belongs to a page that the visitor has left.
            st.rerun([release.fragment, key])
    with suppress(StreamlitAPIException):
        st.rerun(key)


def on_answer_painted(number: int) -> None:
    """Rerun the whole page with the released values, unless a newer release is pending. Call it in a callback.

    The released values are written to the URL, which may contain an intermediate value: if a slider was moved away and
    back at once, the message of the second move came with the unchanged URL.

    Args:
        number: Number of the release whose result is painted; 0 if the page was redrawn before this report arrived.
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
    if last is not None and number in (0, last.number):  # Browsers repeat their report while the page is slow.
        # Imported here, because this import would delay the title of the first page.
        from app.session.view import write_slider_params

        write_slider_params(st.query_params, last.values)
    st.rerun()


def forget_value(name: str) -> None:
    """Remove a value from the last releases, so that a late report does not write it to the URL again."""
    for key in (_PENDING, _PAINTED):
        release = st.session_state.get(key)
        if release is not None and name in release.values:
            values = {other: value for other, value in release.values.items() if other != name}
            st.session_state[key] = replace(release, values=values)


def clear_pending() -> None:
    """Delete the pending release, if there is one."""
    st.session_state.pop(_PENDING, None)
