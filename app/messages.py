"""Messages for the visitor. Text from files, links or errors is escaped, so it is never read as markup."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path

import streamlit as st

from app.public_mode import log, redact
from fpc_core.io.bounded_files import escape_name
from fpc_core.workspace import Places, cache_folder

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&])")
_TOASTS = "pending-toasts"
BUILD_MEMORY = "python -m fpc_core memory build"


def escape_markdown(text: str, limit: int = 160) -> str:
    """Return the text on one line, shortened, with all Markdown escaped.

    Characters that are not valid Unicode, as in a file name that is not UTF-8, are written as escape sequences,
    because Streamlit cannot send them.

    Args:
        text: Text that may contain Markdown.
        limit: Maximum length in characters; a longer text ends with "…".
    """
    flat = " ".join(escape_name(text).split())
    if len(flat) > limit:
        flat = flat[: limit - 1] + "…"
    return _MARKDOWN.sub(r"\\\1", flat)


def show_warning(text: str) -> None:
    """Show a text as a warning, with Markdown escaped and, in public mode, paths removed."""
    st.warning(escape_markdown(redact_paths(text), 600), icon=":material/info:")


def show_error(error: Exception) -> None:
    """Show the message of an error as a warning that ends with a full stop."""
    show_warning(f"{str(error).removesuffix('.')}.")


def redact_paths(text: str) -> str:
    """Return the text that a visitor may read: in public mode, paths of this machine are removed."""
    return redact(escape_name(text), _private_folders())


def render_unavailable_page(error: Exception) -> None:
    """Render the page of a public app that cannot load its data, and write the reason to the server log."""
    log(f"cannot load the startup data: {error}")
    st.header("The app can't load its data")
    st.error(
        "The app is temporarily unavailable. The administrator can find the cause in the server log.",
        icon=":material/database_off:",
    )
    st.button("Try again", icon=":material/refresh:", key="again")


def _private_folders() -> tuple[str, ...]:
    """Return the folders whose paths a public app hides."""
    places = Places.from_environment()
    folders = (places.data, places.weights.parent, places.memory, cache_folder(), Path.cwd(), Path.home())
    forms = dict.fromkeys(form for each in folders if each.resolve().parent.name for form in (each, each.resolve()))
    return tuple(str(each) for each in forms if each.is_absolute())


def show_warnings(texts: Iterable[str]) -> None:
    """Show each text as a warning of its own (see `show_warning`)."""
    for text in texts:
        show_warning(text)


def toast_memory_warnings(texts: Iterable[str]) -> None:
    """Show out-of-memory messages, collected by `fpc_core.runtime.out_of_memory.collect_oom_events`, as toasts."""
    for text in texts:
        st.toast(f"{text}.", icon=":material/memory_alt:", duration="long")


def toast_in_next_run(text: str) -> None:
    """Show a text as a toast in the next run of the page, for callbacks of fragments, which cannot render anything."""
    st.session_state.setdefault(_TOASTS, []).append(text)


def show_pending_toasts() -> None:
    """Show the texts of `toast_in_next_run`, with Markdown escaped."""
    for text in st.session_state.pop(_TOASTS, ()):
        st.toast(escape_markdown(text), duration="long")


def render_setup_error_page(
    error: Exception, paths: dict[str, str], options: str, on_return: Callable[[], None] | None
) -> None:
    """Render the page that replaces all others if the dataset, weights or gallery memory cannot be opened.

    Args:
        error: Error that was raised while opening them.
        paths: Path by name, with the names `data`, `weights` and `memory`.
        options: Other options of the command that builds the gallery memory (`build_options`).
        on_return: Callback that restores the startup settings; None if these are the settings in use.
    """
    st.header("No data loaded yet")
    st.error(escape_markdown(str(error), 900), icon=":material/database_off:")
    st.markdown("The app looked for:")
    st.table({"what": list(paths), "where": [escape_markdown(path) for path in paths.values()]})
    st.markdown("If only the gallery memory is missing or out of date, build it again:")
    st.code(
        f"{BUILD_MEMORY} --data {shlex.quote(paths['data'])} --weights {shlex.quote(paths['weights'])} "
        f"--memory {shlex.quote(paths['memory'])}{options}",
        language=None,
    )
    st.markdown(
        "You can also build it on the Data page, or choose other data there. Set the startup data with "
        "`FPC_DATA`, `FPC_WEIGHTS` and `FPC_MEMORY`; `python -m fpc_core doctor` checks all three."
    )
    with st.container(horizontal=True):
        if st.button("Go to the Data page", icon=":material/database:", type="primary", key="to-data"):
            st.switch_page("app/pages/data.py", query_params={})
        st.button("Try again", icon=":material/refresh:", key="again")
        if on_return:
            st.button("Reset to startup settings", icon=":material/home:", on_click=on_return, key="return")
