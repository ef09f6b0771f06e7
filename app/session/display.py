"""How results are drawn, as the visitor has chosen for all pages of a tab."""

from __future__ import annotations

import streamlit as st

from fpc_core.explain.overlay import PrunedStyle

PRUNED = "pruned"  # Query parameter of the style of dropped patches.
_CHOSEN = "pruned-chosen"  # Key of the style that the visitor chose last.


def pruned_style() -> PrunedStyle:
    """Return how dropped patches are marked: as the URL says or, without it, as the visitor chose last."""
    if (chosen := st.query_params.get(PRUNED)) in list(PrunedStyle):
        st.session_state[_CHOSEN] = chosen
    return PrunedStyle(st.session_state.get(_CHOSEN, PrunedStyle.HATCH))
