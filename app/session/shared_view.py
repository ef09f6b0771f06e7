"""Query, settings and selection that all pages of a browser tab share, as the query parameters of each page.

Widgets that are bound to the URL read it when a page opens, and a script cannot set such parameters afterwards.
Therefore the state travels in the links of the navigation: the URL of every page is complete from the start, and so are
the entries of the browser's history.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

_STORED = "page-params"
_SETTINGS = ("gamma", "alpha", "k", "drop", "variant", "solver", "epsilon")
_METHOD = ("drop", "variant", "solver", "epsilon")
_SELECTION = ("neighbor", "rival", "pin")  # These have the same parameter on all pages.

Params = dict[str, list[str]]


@dataclass(frozen=True)
class _PageState:
    """The shared values that a page has in its URL.

    Attributes:
        prefix: Prefix of their query parameters, except for those of the selection.
        names: Names of the values.
    """

    prefix: str
    names: tuple[str, ...]

    def param(self, name: str) -> str:
        """Return the query parameter of a value."""
        return name if name in _SELECTION else self.prefix + name


_STATES = {
    "": _PageState("", ("query", *_SETTINGS, *_SELECTION)),
    "learn": _PageState("", ("query", *_SETTINGS, "neighbor", "pin")),
    "sweep": _PageState("s_", ("query", *_METHOD)),
    "evaluate": _PageState("e_", _SETTINGS),
    "atlas": _PageState("at_", _SETTINGS),
    "lab": _PageState("l_", ("query", *_SETTINGS, "neighbor", "pin")),
    "compare": _PageState("c_", ("query", "neighbor")),
}
_NO_STATE = _PageState("", ())
# Parameters that do not belong to a page: the choice of the data has its own store, and presenting ends with the page.
_NOT_STORED = ("data", "weights", "memory", "device", "stride", "usual", "present")


def links_of_pages(pages: Sequence[str], current: str, params: Params) -> dict[str, Params]:
    """Store the parameters of the current page in the session, and return those of a link to each page.

    A link has the parameters that its page had last, with the newest value of everything that pages share.

    Args:
        pages: URL paths of all pages.
        current: URL path of the page that is shown.
        params: Its query parameters.
    """
    stored: dict[str, Params] = st.session_state.setdefault(_STORED, {})
    shared: Params = st.session_state.setdefault(f"{_STORED}-shared", {})
    state = _STATES.get(current, _NO_STATE)
    before = shared.get("query")
    for name in state.names:
        if values := params.get(state.param(name)):
            shared[name] = values
        else:
            shared.pop(name, None)
    if shared.get("query", [""])[0].startswith("uploaded "):  # The pages share an upload without a link.
        del shared["query"]
    if shared.get("query") != before:
        for name in _SELECTION:  # It belongs to the hits of the previous query.
            if name not in state.names:
                shared.pop(name, None)
    stored[current] = {name: values for name, values in params.items() if name not in _NOT_STORED}
    return {page: _link(_STATES.get(page, _NO_STATE), stored.get(page, {}), shared) for page in pages}


def forget_params() -> None:
    """Delete what the links carry, because it belongs to another dataset. Call it when the data are changed."""
    for key in (_STORED, f"{_STORED}-shared"):
        st.session_state.pop(key, None)


def _link(state: _PageState, own: Params, shared: Mapping[str, list[str]]) -> Params:
    params = {name: values for name, values in own.items() if name not in map(state.param, state.names)}
    return params | {state.param(name): shared[name] for name in state.names if name in shared}
