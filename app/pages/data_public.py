"""The Data page of a public app: what it was started with. There is nothing to choose, to build or to check."""

from __future__ import annotations

import streamlit as st

from app.layout import heading

heading("What do you look at?", "The data, weights and memory of this app, and how the gallery lies.")

from app.data import gallery_map, reports
from app.server import resources
from app.session import workspace_choice
from app.ui.page_frame import load_workspace_or_stop, run_page


def page() -> None:
    workspace = load_workspace_or_stop()
    places = workspace.places
    st.info(
        "This is a public app: it shows the data and weights it was started with. Run your own to look at your data.",
        icon=":material/public:",
    )
    st.subheader("What was found?")
    left, right = st.columns([3, 2], gap="large")
    with left:
        reports.data_report(*resources.data_info(places.data, ()))
    weights = resources.weights_info(places)
    with right:
        reports.weights_report(weights)
    st.subheader("Does the memory fit?")
    found = resources.memory_info(places.memory, workspace.dataset, weights)
    reports.memory_report(found, workspace_choice.display_name(places.memory, ()))
    st.subheader("How does the gallery lie?")
    gallery_map.gallery(workspace, workspace_choice.default_variant())


run_page(page)
