"""Data page in public mode. It shows the startup data and offers nothing to choose, build or check."""

from __future__ import annotations

import streamlit as st

from app.layout import heading

heading("Data and models", "The data, weights and gallery memory of this app, and a map of the gallery.")

from app.data import gallery_map, reports
from app.server import resources
from app.session import workspace_choice
from app.ui.page_frame import load_workspace_or_stop, run_page


def page() -> None:
    workspace = load_workspace_or_stop()
    places = workspace.places
    st.info("This public app uses fixed data. Install the app to use your own.", icon=":material/public:")
    st.header("Dataset and model summary")
    left, right = st.columns([3, 2], gap="large")
    with left:
        reports.data_report(*resources.data_info(places, ()))
    weights = resources.weights_info(places)
    with right:
        reports.weights_report(weights)
    st.header("Is the gallery memory up to date?")
    info = resources.memory_info(places.memory, workspace.dataset, weights)
    reports.memory_report(info, workspace_choice.display_name(places.memory, ()))
    st.header("Gallery map")
    gallery_map.gallery(workspace, workspace_choice.default_variant())


run_page(page)
