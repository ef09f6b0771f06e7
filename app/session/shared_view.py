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
_SELECTION = ("neighbor", "rival", "pin", "given")  # As for _DISPLAY, parameter names are the same on all pages.
_GALLERY = "gallery"  # Whether the visitor's own gallery is searched; its name is the same on all pages, too.
_ROWS = ("neighbor", "rival", "pin")  # Of the gallery that is searched.
_DISPLAY = ("pruned",)
GAMMA = "0.8"  # Keep rate that a missing parameter stands for on Explore; this module loads without the engine.
_SIDE_B = {"b_gamma": ["0.5"]}  # Side B on the first visit to Compare, if side A has the default settings.

Params = dict[str, list[str]]


@dataclass(frozen=True)
class _PageState:
    """The shared values that a page has in its URL.

    Attributes:
        prefix: Prefix of their query parameters, except for those of selection and display.
        names: Names of the values.
        query: Query parameter of the query if it has another prefix; empty otherwise.
        gamma: Keep rate that a missing parameter stands for; empty for that of Explore.
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
        """Return the names without rows of another gallery, which a page that searches only the dataset cannot show."""
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
# Query parameter of each field of `workspace_choice.WorkspaceChoice`. This module has them because it loads without the
# engine. `variant` belongs to the Explore page and `cameras` to the Atlas page, so these two have other names here.
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
# Parameters that do not belong to a page: the choice has its own store, and presenting ends with the page.
_NOT_STORED = (*CHOICE_PARAMS.values(), "present")
UPLOAD_SUFFIX = " (your image)"  # End of the name of a query that the visitor uploaded; dataset paths end otherwise.


def is_upload(query: str) -> bool:
    """Return whether a query is an image that a visitor uploaded, which no link or recipe can open."""
    return query.endswith(UPLOAD_SUFFIX)


def read_params(current: str, params: Params) -> None:
    """Store the shared values in the parameters of the current page.

    Args:
        current: URL path of the page that is shown.
        params: Its query parameters.
    """
    shared = _shared()
    state = _STATES.get(current, _NO_STATE)
    before = shared.get("query"), shared.get(_GALLERY)
    for name in state.names_for(shared):
        if values := params.get(state.param(name)):
            shared[name] = values[-1:]  # A parameter is there twice while the browser changes the page.
        elif name == "gamma" and state.gamma:
            shared[name] = [state.gamma]
        else:
            shared.pop(name, None)
    if is_upload(shared.get("query", [""])[0]):  # The pages share an upload without a link.
        del shared["query"]
    if (shared.get("query"), shared.get(_GALLERY)) != before:
        for name in _SELECTION:  # It belongs to the hits of the previous query, or to another gallery.
            if name not in state.names_for(shared):
                shared.pop(name, None)


def store_page(current: str, params: Params) -> None:
    """Store the parameters that only the current page has, once it is drawn; arguments as in `read_params`."""
    shared_params = {state.param(name) for state in _STATES.values() for name in state.names}
    own = {name: values for name, values in params.items() if name not in (*_NOT_STORED, *shared_params)}
    st.session_state.setdefault(_STORED, {})[current] = own


def links_of_pages(pages: Sequence[str]) -> dict[str, Params]:
    """Return the query parameters of a link to each page, by its URL path.

    They are those that the page had last, with the newest value of everything that pages share.
    """
    stored, shared = st.session_state.get(_STORED, {}), _shared()
    first = {"compare": _SIDE_B} if not shared.keys() & {*_SETTINGS} else {}
    return {page: stored.get(page, first.get(page, {})) | _shared_params(page, shared) for page in pages}


def forget_params() -> None:
    """Delete what the links carry, because it belongs to another dataset. Call it when the data are changed."""
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
