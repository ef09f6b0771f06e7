"""Query, settings and selection that all pages of a browser tab share, as the query parameters of each page.

Widgets that are bound to the URL read it when a page opens, and a script cannot set such parameters afterwards.
Therefore the links of the navigation contain the shared state. The URL of every page, and every entry of the browser's
history, is then complete from the start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

_STORED = "page-params"
_SETTINGS = ("gamma", "alpha", "k", "drop", "variant", "solver", "epsilon")
_METHOD = ("drop", "variant", "solver", "epsilon")
# The parameters in _SELECTION, _GALLERY and _DISPLAY have the same names on all pages.
_SELECTION = ("neighbor", "rival", "pin", "given")
_GALLERY = "gallery"  # Set if the visitor's own gallery is searched.
_ROWS = ("neighbor", "rival", "pin")  # Parameters that refer to the searched gallery.
_DISPLAY = ("pruned",)
# Keep rate on Explore if its parameter is missing. It is repeated here because this module loads without the engine.
GAMMA = "0.8"
# Side B on the first visit to Compare from a page with the default settings. Without a link from a page, both sides are
# `compare.presets.DEFAULT_SIDES`.
_SIDE_B = {"b_gamma": ["0.5"]}

Params = dict[str, list[str]]


@dataclass(frozen=True)
class _PageState:
    """The shared values in the URL of a page.

    Attributes:
        prefix: Prefix of their query parameters, except for those of selection, gallery and display.
        names: Names of the values.
        query: Query parameter of the query, if it has another prefix; otherwise empty.
        gamma: Keep rate if its parameter is missing; empty for that of Explore.
    """

    prefix: str
    names: tuple[str, ...]
    query: str = ""
    gamma: str = ""

    def param(self, name: str) -> str:
        """Return the query parameter of a value."""
        if name == "query" and self.query:
            return self.query
        return name if name in (*_SELECTION, *_DISPLAY, _GALLERY) else self.prefix + name

    def names_for(self, shared: Mapping[str, list[str]]) -> tuple[str, ...]:
        """Return the names. If `shared` selects the own gallery, a page that cannot search it has none of `_ROWS`."""
        if _GALLERY in shared and _GALLERY not in self.names:
            return tuple(name for name in self.names if name not in _ROWS)
        return self.names


_STATES = {
    "": _PageState("", ("query", *_SETTINGS, *_SELECTION, _GALLERY, *_DISPLAY)),
    "learn": _PageState("", ("query", *_SETTINGS, "neighbor", "pin", "given", _GALLERY, *_DISPLAY)),
    "sweep": _PageState("s_", ("query", *_METHOD)),
    "evaluate": _PageState("e_", _SETTINGS),
    "atlas": _PageState("at_", _SETTINGS),
    "lab": _PageState("l_", ("query", *_SETTINGS, "neighbor", "pin", "given", *_DISPLAY)),
    # Side A, whose keep rate is 1 in links of release 0.1.0 that do not set it.
    "compare": _PageState("a_", ("query", *_SETTINGS, "neighbor", "given", _GALLERY, *_DISPLAY), "c_query", "1.0"),
    "figures": _PageState("", _DISPLAY),
}
_NO_STATE = _PageState("", ())
# Query parameter of each field of `workspace_choice.WorkspaceChoice`. They are defined here because this module loads
# without the engine. The names `variant` (Explore) and `cameras` (Atlas) are taken, so these fields have other names.
CHOICE_PARAMS = {
    "data": "data",
    "weights": "weights",
    "memory": "memory",
    "device": "device",
    "stride": "stride",
    "variant": "usual",
    "image_size": "size",
    "heads": "heads",
    "mean_camera": "meancamera",
    "protocol": "protocol",
    "cameras": "numbering",
}
# Parameters that are not stored for a page: the choice is stored separately, and presenter mode ends with the page.
_NOT_STORED = (*CHOICE_PARAMS.values(), "present")
UPLOAD_SUFFIX = " (your image)"  # End of the name of an uploaded query; no dataset path ends like this.


def is_upload(query: str) -> bool:
    """Return whether a query is an image that a visitor uploaded, which no link or recipe can open."""
    return query.endswith(UPLOAD_SUFFIX)


def read_params(current: str, params: Params) -> None:
    """Store the shared values that the URL of the current page contains.

    Args:
        current: URL path of the page that is shown.
        params: Query parameters of the page.
    """
    shared = _shared()
    state = _STATES.get(current, _NO_STATE)
    before = shared.get("query"), shared.get(_GALLERY)
    for name in state.names_for(shared):
        if values := params.get(state.param(name)):
            shared[name] = values[-1:]  # While the browser changes the page, a parameter can appear twice.
        elif name == "gamma" and state.gamma:
            shared[name] = [state.gamma]
        else:
            shared.pop(name, None)
    if is_upload(shared.get("query", [""])[0]):  # Uploads are shared by `controls.query_name`, not by links.
        del shared["query"]
    if (shared.get("query"), shared.get(_GALLERY)) != before:
        for name in _SELECTION:  # The selection belongs to the previous query or gallery.
            if name not in state.names_for(shared):
                shared.pop(name, None)


def store_page(current: str, params: Params) -> None:
    """Store the parameters that only the current page has. Call it once the page is drawn.

    Args:
        current: URL path of the page that is shown.
        params: Query parameters of the page.
    """
    shared_params = {state.param(name) for state in _STATES.values() for name in state.names}
    own = {name: values for name, values in params.items() if name not in (*_NOT_STORED, *shared_params)}
    st.session_state.setdefault(_STORED, {})[current] = own


def links_of_pages(pages: Sequence[str]) -> dict[str, Params]:
    """Return the query parameters of a link to each page, by its URL path.

    These are the last parameters of the page, in which the newest shared values replace older ones.
    """
    stored, shared = st.session_state.get(_STORED, {}), _shared()
    first = {"compare": _SIDE_B} if not shared.keys() & {*_SETTINGS} else {}
    return {page: stored.get(page, first.get(page, {})) | _shared_params(page, shared) for page in pages}


def forget_params() -> None:
    """Delete all stored parameters, which belong to the previous dataset. Call it when the dataset changes."""
    for key in (_STORED, f"{_STORED}-shared"):
        st.session_state.pop(key, None)


def _shared() -> Params:
    shared: Params = st.session_state.setdefault(f"{_STORED}-shared", {})
    return shared


def _shared_params(page: str, shared: Mapping[str, list[str]]) -> Params:
    state = _STATES.get(page, _NO_STATE)
    params = {state.param(name): shared[name] for name in state.names_for(shared) if name in shared}
    if state.gamma and "gamma" in state.names:
        gamma = shared.get("gamma", [GAMMA])
        if _is_number(gamma[-1], float(state.gamma)):  # The page's widget would remove the parameter.
            params.pop(state.param("gamma"), None)
        else:
            params[state.param("gamma")] = gamma
    return params


def _is_number(text: str, value: float) -> bool:
    try:
        return float(text) == value
    except ValueError:
        return False
