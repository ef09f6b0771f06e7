"""Explore page: which patches of a query are dropped, which gallery images are retrieved, and why."""

from __future__ import annotations

import streamlit as st

from app.layout import heading

heading(
    "FPC Explorer",
    "Pick a partly hidden person. See which patches the model drops, which gallery images it retrieves, and why.",
)

from app.messages import show_warnings
from app.sections import decoder, patch_lifeline, ranking, summary, transport
from app.server import search
from app.server.search import Query, SearchResult
from app.session import link_checks
from app.session.figure_basket import Item, add_button
from app.session.view import View
from app.ui import controls, heatmap_controls, status
from app.ui.page_frame import load_workspace_or_stop, report_errors, run_page
from app.ui.query_picker import (
    PER_PAGE,
    apply_first_visit_defaults,
    choose_neighbor,
    choose_pin,
    choose_query,
    is_dataset_query,
    pick_query,
    view_from_url,
)
from fpc_core.config import QuerySettings
from fpc_core.workspace import Workspace

HITS = "hits"  # Key of the fragment that shows the ranked strips.


def choose_rival(row: int) -> None:
    st.query_params["rival"] = str(row)


@st.fragment(key=HITS)
@report_errors("-hits")
def hits(
    workspace: Workspace, query: Query, settings: QuerySettings, neighbor: int | None, show_junk: bool
) -> tuple[SearchResult, int | None]:
    """Render the ranked strips, and return the search result and the gallery row of the selected hit.

    When a slider is released, this fragment reruns before the whole page. Therefore it takes the values of the sliders
    from the URL.
    """
    view, _ = view_from_url(workspace)
    result = search.search(workspace, query, controls.with_slider_values(settings, view.settings))

    def pick(row: str) -> None:
        choose_neighbor(row)
        st.rerun()  # The whole page reruns, because other sections show the hit too.

    chosen = ranking.render_ranking(workspace, query, result, neighbor, show_junk, pick)
    controls.rerun_page_after_paint()
    return result, chosen


def render_results(workspace: Workspace, query: Query, settings: QuerySettings, view: View, show_junk: bool) -> None:
    """Render all sections below the choice of a query. The strips are computed first."""
    summary_container, masks_container, strips_container = st.container(key="summary"), st.container(), st.container()
    with strips_container:
        result, chosen = hits(workspace, query, settings, view.neighbor, show_junk)
    with masks_container:
        left, timing_container = st.columns([3, 2], gap="medium")
        with left:
            ranking.render_masks(workspace, query, settings)
        patch_lifeline.render_lifeline_switch(workspace, query, result, view.pin, choose_pin)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        transport.transport(workspace, query, result, chosen, view.pin, choose_pin)
    with right:
        ranking.render_alpha_chart(chosen, show_junk)
    if is_dataset_query(query):
        gallery = workspace.retriever.memory.records[chosen].path.as_posix() if chosen is not None else ""
        add_button(Item(query.name), settings, gallery=gallery)
    transport.pairwise_comparison(workspace, query, result, chosen, view.rival, show_junk, choose_rival)
    decoder.decoder(workspace, query, result, chosen, choose_neighbor)
    with timing_container:
        ranking.render_timings(result)
    with summary_container:
        summary.render_summary(workspace, query, result, chosen)
    ranking.keep_rates(workspace, query, settings, chosen)


def page() -> None:
    workspace = load_workspace_or_stop()
    apply_first_visit_defaults(workspace.dataset.neighbors)
    view, problems = view_from_url(workspace)
    records = {record.path.as_posix(): record for record in workspace.dataset.query}
    with st.sidebar:
        query, missing = pick_query(workspace, view.query)
        settings = controls.query_settings(view.settings, workspace.dataset.shortlist, HITS)
        show_junk = controls.junk_switch(workspace.dataset.excludes_own_camera)

    status.status_line(workspace, settings)
    with st.container():  # Always present, so that the content below does not move when a message disappears.
        show_warnings(
            (
                *problems,
                *missing,
                *heatmap_controls.check_map_params("", workspace.weights.knows_identities),
                *link_checks.check_switch("life"),
            )
        )
    st.subheader("Choose a query", anchor="query")
    status.render_examples(workspace, query.name, choose_query)
    with st.container(horizontal=True, vertical_alignment="center"):
        identity = controls.identity([record.identity for record in workspace.dataset.query])
        offered = [key for key in records if identity in (None, records[key].identity)]
        positions = controls.pagination(
            len(offered), PER_PAGE, offered.index(query.name) if query.name in offered else None
        )
    status.query_strip(workspace, [records[offered[position]] for position in positions], query.name, choose_query)

    render_results(workspace, query, settings, view, show_junk)


run_page(page)
