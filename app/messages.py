"""Words for the visitor: what went wrong, what to do. Text from outside is shown as text, never as markup."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable

import streamlit as st

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&])")
_BUILD_MEMORY = "python -m fpc_core memory build"


def plain(text: str, limit: int = 160) -> str:
    """The text with everything Markdown could read as markup escaped, on one line, cut after `limit` characters."""
    flat = " ".join(text.split())
    if len(flat) > limit:
        flat = flat[: limit - 1] + "…"
    return _MARKDOWN.sub(r"\\\1", flat)


def problem(text: str) -> None:
    """A message about the visitor's input."""
    st.warning(plain(text, 600), icon=":material/info:")


def nothing_to_show(error: Exception, places: dict[str, str], on_return: Callable[[], None] | None) -> None:
    """The page shown in place of all others when data, weights or memory cannot be opened.

    places: by their names.  on_return: goes back to what the app was started with; None if that is what fails.
    """
    st.header("Nothing to explore yet")
    st.error(plain(str(error), 900), icon=":material/database_off:")
    st.markdown("Looked for:")
    st.table({"what": list(places), "where": [plain(place) for place in places.values()]})
    st.markdown("When data and weights are there and only the memory is missing or stale, build it again:")
    st.code(
        f"{_BUILD_MEMORY} --data {shlex.quote(places['data'])} --weights {shlex.quote(places['weights'])} "
        f"--memory {shlex.quote(places['memory'])}",
        language="bash",
    )
    st.markdown(
        "The Data page builds it too, and offers other data below the folders of `FPC_ROOTS`. What the app starts with "
        "is said by `FPC_DATA`, `FPC_WEIGHTS` and `FPC_MEMORY`; `python -m fpc_core doctor` checks all three."
    )
    with st.container(horizontal=True):
        if st.button("Go to the Data page", icon=":material/database:", type="primary", key="to-data"):
            st.switch_page("app/pages/data.py", query_params={})
        st.button("Try again", icon=":material/refresh:", key="again")
        if on_return:
            st.button("Back to the start", icon=":material/home:", on_click=on_return, key="return")
