"""Compare page: the results of two settings for the same query, side by side."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from app.layout import heading

heading("What changes between two settings?", "One query, two settings. Differences are marked below.")

from app.messages import show_warnings
from app.sections import comparison
from app.sections.comparison import SIDES
from app.sections.comparison_data import PRESETS, preset_of
from app.server import search
from app.session.figure_basket import Item, add_button
from app.session.shared_view import shared_settings
from app.session.view import read_view
from app.ui import controls, progress, status
from app.ui.gallery_choice import workspace_to_search
from app.ui.page_frame import load_workspace_or_stop, run_page
from app.ui.query_picker import has_recipe, pick_query, view_from_url
from fpc_core.config import QuerySettings
from fpc_core.data.match_rule import MatchRule
from fpc_core.explain.cards import identity_label
from fpc_core.workspace import Workspace

DEFAULT = PRESETS["γ 1.0 | 0.8"]


def choose_preset(shortlist: int) -> None:
    chosen = st.session_state.get("preset")
    if chosen in PRESETS:
        for name, settings in zip(SIDES, PRESETS[chosen], strict=True):
            controls.set_side_widgets(f"{name.lower()}_", settings, shortlist)


def use_shared_settings(workspace: Workspace) -> None:
    """Set side A to the settings that the other pages share."""
    view, _ = read_view(shared_settings(), workspace.retriever.model.config.patches)
    controls.set_side_widgets("a_", view.settings, workspace.dataset.shortlist)


def choose_neighbor(row: str) -> None:
    st.query_params["neighbor"] = row


def both_settings(workspace: Workspace, largest: int) -> tuple[QuerySettings, QuerySettings]:
    """Render the presets and a popover with the settings of each side, and return the settings of A and B.

    Args:
        workspace: Workspace of the dataset, whose gallery limits the sliders.
        largest: Size of the shortlist, which is smaller for a small own gallery.
    """
    shortlist = workspace.dataset.shortlist
    presets = st.container()
    sides = []
    for name, default, column in zip(SIDES, DEFAULT, st.columns(2, gap="medium"), strict=True):
        with column, st.container(border=True):
            headline = st.empty()
            with st.popover(f"Edit {name}", icon=":material/tune:"):
                sides.append(controls.side_settings(f"{name.lower()}_", default, shortlist))
            headline.markdown(f"**{name}** {comparison.describe_settings(limited(sides[-1], largest))}")
    st.session_state["preset"] = preset_of(sides[0], sides[1])
    with presets, st.container(horizontal=True, vertical_alignment="bottom"):
        st.pills("Presets", list(PRESETS), key="preset", on_change=choose_preset, args=(shortlist,))
        st.button(
            "Use Explore's settings in A",
            on_click=use_shared_settings,
            args=(workspace,),
            help="Keep rate, α, K, variant and drop strategy that you chose on Explore, Learn or the Lab.",
        )
    return limited(sides[0], largest), limited(sides[1], largest)


def limited(settings: QuerySettings, largest: int) -> QuerySettings:
    """Return settings whose shortlist and K are at most `largest`."""
    size = min(settings.shortlist, largest)
    return replace(settings, shortlist=size, neighbors=min(settings.neighbors, size))


def page() -> None:
    of_dataset = load_workspace_or_stop()
    workspace, gallery_problems = workspace_to_search(of_dataset)
    records = {record.path.as_posix(): record for record in workspace.dataset.query}
    with st.sidebar:
        query, missing = pick_query(workspace, st.query_params.get("c_query", ""), "c_query")
        alt = identity_label(records[query.name]) if query.name in records else query.name
        st.image(query.image, width=150, alt=f"query, {alt}")
    settings = both_settings(of_dataset, workspace.shortlist_for(query.subject.path))
    status.status_line(workspace, *settings)
    progress.protocol_caption(workspace.dataset)
    traces = {side: search.search(workspace, query, each).trace for side, each in zip(SIDES, settings, strict=True)}
    rule = MatchRule(workspace.retriever.memory.records, query.subject, workspace.dataset.excludes_own_camera)
    view, problems = view_from_url(workspace, "neighbor")
    show_warnings((*gallery_problems, *missing, *problems))
    comparison.masks(workspace, query, traces)
    chosen = comparison.hits(workspace, query, traces, view.neighbor, choose_neighbor)
    gallery = workspace.retriever.memory.records[chosen].path.as_posix() if chosen is not None else ""
    if has_recipe(workspace, query):
        with st.container(horizontal=True):
            for side, each in zip(SIDES, settings, strict=True):
                add_button(Item(query.name), each, what=side, key=side, gallery=gallery)
    comparison.parts(workspace, traces, rule, chosen)
    comparison.shares(traces, rule)


run_page(page)
