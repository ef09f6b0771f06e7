"""Section on the decoder: what it took from each neighbour, on a scale that all of them share."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app import charts, controls, resources
from app.components.feed import feed
from app.components.heat import heat, heat_data
from app.resources import Found, Query
from fpc_core.config import Variant
from fpc_core.explain.strips import Scale, Strip, decoder_cards
from fpc_core.workspace import Workspace

GRAD_CAM = "Grad-CAM"
LENSES = {
    GRAD_CAM: "evidence for the image ranked first (Grad-CAM, common scale)",
    "attention": "attention of [cls] per patch",
}
_PICKED = "heat-picked"


@st.fragment
def decoder(space: Workspace, query: Query, found: Found, chosen: int | None, on_pick: Callable[[str], None]) -> None:
    """A change of lens runs this alone. Grad-CAM is computed in the background, so that no dial waits for it."""
    if st.session_state.pop(_PICKED, False):
        st.rerun()
    st.subheader("What did the decoder take from each neighbour?")
    trace, result = found.trace, found.trace.consolidation
    lens = st.segmented_control("Shown", list(LENSES), default=GRAD_CAM, required=True, key="lens")
    view = resources.heat_key(query, trace.settings)
    drawn = decoder_cards(result, space.retriever.memory.records, query.subject, space.dataset.uses_cameras, chosen)
    strip = Strip("heat", "", drawn, scale=Scale(LENSES[lens], "0", ""))

    def pick(row: str) -> None:
        on_pick(row)
        st.session_state[_PICKED] = True

    shown = None if lens == GRAD_CAM else heat_data(view, result.neighbor_grids)
    heat(strip, space.retriever.model.config, view, key="heat", shown=shown, on_pick=pick)
    st.plotly_chart(
        charts.shares_figure(result), config={"displayModeBar": False}, key="shares", alt="Attention shares of Eq. 13"
    )
    if trace.settings.variant is Variant.RELEASED:
        st.caption("The released decoder leaves the query out of its keys: choose the paper variant to bring it in.")
    if lens == GRAD_CAM:
        feed("heat", view, resources.decoder_heat(space, query, found, controls.visitor()))
