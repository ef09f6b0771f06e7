"""The first step of every page."""

from __future__ import annotations

import streamlit as st

from app import resources
from app.messages import nothing_to_show
from fpc_core.workspace import Places, Workspace


def open_or_explain() -> Workspace:
    """The workspace; where it cannot be opened, a page that says what is missing, and the run ends."""
    places = Places.from_environment()
    try:
        return resources.workspace(places)
    except (ValueError, OSError) as error:
        nothing_to_show(error, {"data": str(places.data), "weights": str(places.weights), "memory": str(places.memory)})
        st.stop()
