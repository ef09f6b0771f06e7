"""D against alpha for the whole shortlist, drawn in the browser: alpha can be set and dragged in it."""

from __future__ import annotations

import streamlit as st

from app.components import source

_mount = st.components.v2.component(
    "fpc_lines",
    html=source("lines.html"),
    css=source("lines.css"),
    js=source("shared.js", "store.js", "lines.js"),
)


def lines(*, key: str, top: int, junk: bool, chosen: int | None) -> None:
    """Draws what the page's `ranking` was given.

    top: ranks whose lines stand out and whose swaps are marked.  junk: whether junk images are shown.  chosen: memory
    row of the chosen neighbour.
    """
    _mount(key=key, data={"top": top, "junk": junk, "chosen": chosen})
