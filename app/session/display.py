"""How results are drawn, as the visitor has chosen for all pages of a tab."""

from __future__ import annotations

import streamlit as st

from fpc_core.explain.overlay import PrunedStyle

PRUNED = "pruned"  # Query parameter of the style of dropped patches.


def pruned_style() -> PrunedStyle:
    """Return how dropped patches are marked. Explore offers the choice; other pages have it in their URL, too."""
    chosen = st.query_params.get(PRUNED)
    return PrunedStyle(chosen) if chosen in list(PrunedStyle) else PrunedStyle.HATCH
