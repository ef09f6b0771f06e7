"""Compare page: the results of two settings for the same query, side by side."""

from __future__ import annotations

import streamlit as st

from app.layout import heading

heading("What changes between two settings?", "One query, two settings. Differences are marked below.")

from app.messages import show_warnings
from app.sections import comparison
from app.sections.comparison import SIDES
from app.sections.comparison_data import DEFAULT_SIDES, PRESETS, preset_of
from app.server import search
from app.session import given_patches
from app.session.figure_basket import Item, add_button
from app.ui import controls, progress, status
from app.ui.page_frame import load_workspace_or_stop, run_page
from app.ui.query_picker import is_dataset_query, pick_query, view_from_url
from fpc_core.config import QuerySettings
from fpc_core.data.match_rule import MatchRule
from fpc_core.explain.cards import identity_label
from fpc_core.workspace import Workspace


def choose_preset(shortlist: int) -> None:
    chosen = st.session_state.get("preset")
    if chosen in PRESETS:
        for name, settings in zip(SIDES, PRESETS[chosen], strict=True):
            controls.set_side_widgets(f"{name.lower()}_", settings, shortlist)
        given_patches.forget()


def choose_neighbor(row: str) -> None:
    st.query_params["neighbor"] = row


def both_settings(workspace: Workspace, requested: QuerySettings) -> tuple[QuerySettings, QuerySettings]:
    """Render the presets and a popover with the settings of each side, and return the settings of A and B.

    Args:
        workspace: Workspace of the query.
        requested: Settings in the URL, whose patches dropped by hand belong to side A.
    """
    shortlist = workspace.dataset.shortlist
    presets = st.container()
    sides = []
    for name, default, column in zip(SIDES, DEFAULT_SIDES, st.columns(2, gap="medium"), strict=True):
        with column, st.container(border=True):
            headline = st.empty()
            with st.popover(f"Edit {name}", icon=":material/tune:"):
                shared = name == "A"
                side = controls.side_settings(f"{name.lower()}_", default, shortlist, by_hand=shared)
            sides.append(controls.with_given_patches(side, requested) if shared else side)
            headline.markdown(f"**{name}** {comparison.describe_settings(sides[-1])}")
    st.session_state["preset"] = preset_of(sides[0], sides[1])
    with presets, st.container(horizontal=True, vertical_alignment="bottom"):
        st.pills("Presets", list(PRESETS), key="preset", on_change=choose_preset, args=(shortlist,))
        st.caption("Side A has the settings of Explore and the other pages, side B its own.")
    if sides[0] == sides[1]:
        st.info("Both sides have the same settings. Choose a preset, or edit a side.", icon=":material/compare:")
    return sides[0], sides[1]


def page() -> None:
    workspace = load_workspace_or_stop()
    records = {record.path.as_posix(): record for record in workspace.dataset.query}
    with st.sidebar:
        query, missing = pick_query(workspace, st.query_params.get("c_query", ""), "c_query")
        alt = identity_label(records[query.name]) if query.name in records else query.name
        st.image(query.image, width=150, alt=f"query, {alt}")
    view, problems = view_from_url(workspace, "neighbor", given_patches.PARAM)
    settings = both_settings(workspace, view.settings)
    status.status_line(workspace, *settings)
    progress.protocol_caption(workspace.dataset)
    traces = {side: search.search(workspace, query, each).trace for side, each in zip(SIDES, settings, strict=True)}
    rule = MatchRule(workspace.retriever.memory.records, query.subject, workspace.dataset.excludes_own_camera)
    show_warnings((*missing, *problems))
    comparison.masks(workspace, query, traces)
    chosen = comparison.hits(workspace, query, traces, view.neighbor, choose_neighbor)
    gallery = workspace.retriever.memory.records[chosen].path.as_posix() if chosen is not None else ""
    if is_dataset_query(query):
        with st.container(horizontal=True):
            for side, each in zip(SIDES, settings, strict=True):
                add_button(Item(query.name), each, what=side, key=side, gallery=gallery)
    comparison.parts(workspace, traces, rule, chosen)
    comparison.shares(traces, rule)


run_page(page)
