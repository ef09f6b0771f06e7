"""Compare page: the results of two settings, or of two models, for the same query, side by side."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.layout import heading

heading("What changes between two settings?", "One query, two settings or two models. Differences are marked below.")

from app.compare import other_weights
from app.compare.presets import DEFAULT_SIDES, PRESETS, preset_of
from app.messages import escape_markdown, show_warnings
from app.sections import comparison
from app.sections.comparison import SIDES, Side
from app.server import search
from app.server.search import Query
from app.session import given_patches
from app.session.figure_basket import Item, add_button
from app.ui import controls, progress, status
from app.ui.gallery_choice import workspace_to_search
from app.ui.page_frame import load_workspace_or_stop, run_page
from app.ui.query_picker import has_recipe, pick_query, view_from_url
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


def both_sides(
    workspace: Workspace, shortlist: int, requested: QuerySettings, largest: int
) -> tuple[dict[str, QuerySettings], str, dict[str, DeltaGenerator]]:
    """Render the presets and a popover with the settings of each side.

    Args:
        workspace: Workspace of side A.
        shortlist: Shortlist size of the dataset, which limits the sliders.
        requested: Settings in the URL, whose patches dropped by hand belong to side A.
        largest: Size of the shortlist, which is smaller for a small own gallery.

    Returns:
        The settings by side, the name of side B's weights (empty for those of side A), and a placeholder for the
        headline of each side.
    """
    presets = st.container()
    settings, headlines, weights = {}, {}, ""
    for name, default, column in zip(SIDES, DEFAULT_SIDES, st.columns(2, gap="medium"), strict=True):
        shared = name == "A"
        with column, st.container(border=True):
            headlines[name] = st.empty()
            with st.popover(f"Edit {name}", icon=":material/tune:"):
                if not shared:
                    weights = other_weights.choose_weights(workspace)
                side = controls.side_settings(f"{name.lower()}_", default, shortlist, by_hand=shared)
            settings[name] = controls.with_given_patches(side, requested) if shared else side
    st.session_state["preset"] = preset_of(*settings.values())
    settings = {name: limited(each, largest) for name, each in settings.items()}
    with presets, st.container(horizontal=True, vertical_alignment="bottom"):
        st.pills("Presets", list(PRESETS), key="preset", on_change=choose_preset, args=(shortlist,))
        st.caption("Side A has the settings of Explore and the other pages, side B its own.")
    if settings["A"] == settings["B"] and not weights:
        st.info("Both sides have the same settings. Choose a preset, or edit a side.", icon=":material/compare:")
    return settings, weights, headlines


def limited(settings: QuerySettings, largest: int) -> QuerySettings:
    """Return the settings with a limited shortlist and K.

    Args:
        settings: Settings to limit.
        largest: Maximum size of the shortlist, and so of K.
    """
    size = min(settings.shortlist, largest)
    return replace(settings, shortlist=size, neighbors=min(settings.neighbors, size))


def search_sides(
    workspace: Workspace,
    other: Workspace | None,
    query: Query,
    settings: dict[str, QuerySettings],
    names: dict[str, str],
) -> dict[str, Side]:
    """Search on both sides, and return the results by side.

    Args:
        workspace: Workspace of side A.
        other: Workspace of side B if it has other weights; otherwise None.
        query: Query at the input size of side A.
        settings: Settings by side.
        names: Names of the weights by side; empty if both have the same.
    """
    sides = {}
    for name, each in settings.items():
        searched, image = workspace, query
        if other is not None and name == "B":
            searched, image = other, other_weights.query_of_other(other, query)
        sides[name] = Side(searched, image, search.search(searched, image, each).trace, names[name])
    return sides


def add_buttons(query: Query, settings: dict[str, QuerySettings], gallery: str, other: Workspace | None) -> None:
    """Render buttons that add a side to the figure. Figures use the weights of side A.

    Args:
        query: Query image.
        settings: Settings by side.
        gallery: Path of the selected gallery image, or empty.
        other: Workspace of side B if it has other weights; otherwise None.
    """
    with st.container(horizontal=True, vertical_alignment="center"):
        for name, each in settings.items():
            if name == "A" or other is None:
                add_button(Item(query.name), each, what=name, key=name, gallery=gallery)
        if other is not None:
            st.caption("Figures have the weights of side A. To draw side B, choose its weights on the Data page.")


def page() -> None:
    of_dataset = load_workspace_or_stop()
    workspace, gallery_problems = workspace_to_search(of_dataset)
    records = {record.path.as_posix(): record for record in workspace.dataset.query}
    with st.sidebar:
        query, missing = pick_query(workspace, st.query_params.get("c_query", ""), "c_query")
        alt = identity_label(records[query.name]) if query.name in records else query.name
        st.image(query.image, width=150, alt=f"query, {alt}")
    view, problems = view_from_url(workspace, "neighbor", given_patches.PARAM)
    largest = workspace.shortlist_for(query.subject.path)
    settings, weights, headlines = both_sides(workspace, of_dataset.dataset.shortlist, view.settings, largest)
    other = other_weights.open_other(workspace, weights) if weights else None
    names = other_weights.weights_names(workspace, weights) if weights else {"A": "", "B": ""}
    for name, headline in headlines.items():
        text = comparison.describe_settings(settings[name])
        of_weights = f" · weights {escape_markdown(names[name])}" if weights else ""
        headline.markdown(f"**{name}** {text}{of_weights}")
    status.status_line(workspace, *settings.values(), other=other)
    if weights and other is None:
        return
    if other is not None and other_weights.is_resized_twice(other, query):
        height, width = query.image.shape[:2]
        st.caption(f"Side B resizes your image from {width} × {height} pixels, the input size of side A.")
    progress.protocol_caption(workspace.dataset)
    sides = search_sides(workspace, other, query, settings, names)
    traces = {name: side.trace for name, side in sides.items()}
    rule = MatchRule(workspace.retriever.memory.records, query.subject, workspace.dataset.excludes_own_camera)
    show_warnings((*gallery_problems, *missing, *problems))
    comparison.masks(sides)
    notes = [f"B: {note}" for note in other.notes] if other else []
    chosen = comparison.hits(workspace, query, traces, view.neighbor, choose_neighbor, notes=notes)
    gallery = workspace.retriever.memory.records[chosen].path.as_posix() if chosen is not None else ""
    if has_recipe(workspace, query):
        add_buttons(query, settings, gallery, other)
    comparison.parts((sides["A"].config, sides["B"].config), traces, rule, chosen)
    comparison.shares(traces, rule)


run_page(page)
