"""Timings of the search of Explore."""

from __future__ import annotations

import streamlit as st

from app.components.bars import bars, timing_bars
from app.server.search import SearchResult


def render_timings(result: SearchResult) -> None:
    """Render a bar per stage of the search, and the time of the stages that were not cached."""
    bars(timing_bars(result.seconds, result.reused), key="timings", about="Milliseconds per stage of the search")
    fresh = sum(value for name, value in result.seconds.items() if name not in result.reused)
    st.caption(f"{1000 * fresh:.0f} ms for this view; the rest was cached.")
