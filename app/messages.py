"""Words for the visitor: what went wrong, what to do. Text from outside is shown as text, never as markup."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path

import streamlit as st

from app.public_mode import log, redact
from fpc_core.config import Precision
from fpc_core.io.bounded_files import escape_name
from fpc_core.workspace import Places, cache_folder

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&])")
_BUILD_MEMORY = "python -m fpc_core memory build"


def escape_markdown(text: str, limit: int = 160) -> str:
    """The text with everything Markdown could read as markup escaped, on one line, cut after `limit` characters.

    What is not valid text, as in a file name that is not UTF-8, is written as escapes: no page can be sent with it.
    """
    flat = " ".join(escape_name(text).split())
    if len(flat) > limit:
        flat = flat[: limit - 1] + "…"
    return _MARKDOWN.sub(r"\\\1", flat)


def show_warning(text: str) -> None:
    """A message about the visitor's input."""
    st.warning(escape_markdown(redact_paths(text), 600), icon=":material/info:")


def show_error(error: Exception) -> None:
    """What ended some work, as a sentence."""
    show_warning(f"{str(error).removesuffix('.')}.")


def redact_paths(text: str) -> str:
    """The text as a visitor may read it: a public app says it without the machine's paths."""
    return redact(escape_name(text), _private_folders())


def render_unavailable_page(error: Exception) -> None:
    """The page of a public app that cannot open what it was started with; the reason goes to the server's log."""
    log(f"cannot open what the app was started with: {error}")
    st.header("The app can't load its data")
    st.error(
        "The app is temporarily unavailable. The administrator can find the cause in the server log.",
        icon=":material/database_off:",
    )
    st.button("Try again", icon=":material/refresh:", key="again")


def _private_folders() -> tuple[str, ...]:
    """Whose places a public app does not tell."""
    places = Places.from_environment()
    folders = (places.data, places.weights.parent, places.memory, cache_folder(), Path.cwd(), Path.home())
    forms = dict.fromkeys(form for each in folders if each.resolve().parent.name for form in (each, each.resolve()))
    return tuple(str(each) for each in forms if each.is_absolute())


def show_warnings(texts: Iterable[str]) -> None:
    """A message each."""
    for text in texts:
        show_warning(text)


def toast_memory_warnings(texts: Iterable[str]) -> None:
    """What `fpc_core.runtime.out_of_memory.shortages` heard while something was computed for the visitor."""
    for text in texts:
        st.toast(f"{text}.", icon=":material/memory_alt:", duration="long")


def render_setup_error_page(
    error: Exception, places: dict[str, str], precision: str, on_return: Callable[[], None] | None
) -> None:
    """The page shown in place of all others when data, weights or memory cannot be opened.

    places: by their names.  precision: of the memory.  on_return: goes back to what the app was started with; None if
    that is what fails.
    """
    st.header("No data loaded yet")
    st.error(escape_markdown(str(error), 900), icon=":material/database_off:")
    st.markdown("Looked for:")
    st.table({"what": list(places), "where": [escape_markdown(place) for place in places.values()]})
    at = "" if precision == Precision.FLOAT32 else f" --precision {shlex.quote(precision)}"
    st.markdown("If only the gallery memory is missing or out of date, build it again:")
    st.code(
        f"{_BUILD_MEMORY} --data {shlex.quote(places['data'])} --weights {shlex.quote(places['weights'])} "
        f"--memory {shlex.quote(places['memory'])}" + at,
        language="bash",
    )
    st.markdown(
        "You can also build it on the Data page, or choose other data there. Set the start-up data with "
        "`FPC_DATA`, `FPC_WEIGHTS` and `FPC_MEMORY`; `python -m fpc_core doctor` checks all three."
    )
    with st.container(horizontal=True):
        if st.button("Go to the Data page", icon=":material/database:", type="primary", key="to-data"):
            st.switch_page("app/pages/data.py", query_params={})
        st.button("Try again", icon=":material/refresh:", key="again")
        if on_return:
            st.button("Reset to startup settings", icon=":material/home:", on_click=on_return, key="return")
