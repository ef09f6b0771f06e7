"""Chart of D against alpha for the whole shortlist, drawn in the browser. Visitors can set alpha in it."""

from __future__ import annotations

import streamlit as st

from app.components import source

_mount = st.components.v2.component(
    "fpc_alpha_chart",
    html=source("alpha_chart/alpha_chart.html"),
    css=source("alpha_chart/alpha_chart.css"),
    js=source("_shared/dom.js", "_shared/live_store.js", "_shared/rank_by_distance.js", "alpha_chart/alpha_chart.js"),
)


def alpha_chart(*, key: str, top: int, junk: bool, chosen: int | None) -> None:
    """Draw the chart for the answer that the page's `ranking` component received.

    Args:
        key: Key of the component.
        top: Number of ranks whose lines are highlighted and whose swaps are marked.
        junk: Whether junk images are shown.
        chosen: Gallery row of the selected hit, or None.
    """
    _mount(key=key, data={"top": top, "junk": junk, "chosen": chosen})
