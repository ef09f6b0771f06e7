"""The visitor's choice of how dropped patches are marked, for all pages of a browser tab."""

from __future__ import annotations

import streamlit as st

from fpc_core.explain.overlay import PrunedStyle

PRUNED = "pruned"  # Query parameter of the style of dropped patches.
_CHOSEN = "pruned-chosen"  # Key of the style that the visitor chose last.


def pruned_style() -> PrunedStyle:
    """Return the style of dropped patches: that of the URL or, without one, the visitor's last choice."""
    if (chosen := st.query_params.get(PRUNED)) in list(PrunedStyle):
        st.session_state[_CHOSEN] = chosen
    return PrunedStyle(st.session_state.get(_CHOSEN, PrunedStyle.HATCH))
