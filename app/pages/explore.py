"""One query, the whole way: what was dropped, who was found, and why."""

from __future__ import annotations

import streamlit as st

from app.layout import heading

heading(
    "FPC Explorer",
    "Pick a partly hidden person and see which image patches the model drops, which gallery images it retrieves, "
    "and why.",
)

from app.messages import show_warnings
from app.sections import decoder, patch_lifeline, ranking, summary, transport
from app.server import search
from app.server.search import Query, SearchResult
from app.session import link_checks
from app.session.figure_basket import Item, add_button
from app.session.view import View
from app.ui import controls, status
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

HITS = "hits"


def choose_rival(row: int) -> None:
    st.query_params["rival"] = str(row)


@st.fragment(key=HITS)
@report_errors("-hits")
def hits(
    workspace: Workspace, query: Query, usual: QuerySettings, neighbor: int | None, show_junk: bool
) -> tuple[SearchResult, int | None]:
    """What a moved dial waits for: drawn by itself, before the page follows. Returns the chosen neighbour as well."""
    asked, _ = view_from_url(workspace)
    found = search.search(workspace, query, controls.with_slider_values(usual, asked.settings))

    def pick(row: str) -> None:
        choose_neighbor(row)
        st.rerun()  # the whole page shows the neighbour, not this fragment alone

    chosen = ranking.render_ranking(workspace, query, found, neighbor, show_junk, pick)
    controls.rerun_page_after_paint()
    return found, chosen


def answers(workspace: Workspace, query: Query, settings: QuerySettings, asked: View, show_junk: bool) -> None:
    """Everything below the choice of a query. What a moved dial waits for is drawn first."""
    short, masks, strips = st.container(key="summary"), st.container(), st.container()
    with strips:
        found, chosen = hits(workspace, query, settings, asked.neighbor, show_junk)
    with masks:
        left, clock = st.columns([3, 2], gap="medium")
        with left:
            ranking.render_masks(workspace, query, settings)
        patch_lifeline.render_lifeline_switch(workspace, query, found, asked.pin, choose_pin)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        transport.transport(workspace, query, found, chosen, asked.pin, choose_pin)
    with right:
        ranking.render_alpha_chart(chosen, show_junk)
    if is_dataset_query(query):
        gallery = workspace.retriever.memory.records[chosen].path.as_posix() if chosen is not None else ""
        add_button(Item(query.name), settings, gallery=gallery)
    transport.pairwise_comparison(workspace, query, found, chosen, asked.rival, show_junk, choose_rival)
    decoder.decoder(workspace, query, found, chosen, choose_neighbor)
    with clock:
        ranking.render_timings(found)
    with short:
        summary.render_summary(workspace, query, found, chosen)
    ranking.keep_rates(workspace, query, settings, chosen)


def page() -> None:
    workspace = load_workspace_or_stop()
    apply_first_visit_defaults(workspace.dataset.neighbors)
    asked, wrong = view_from_url(workspace)
    records = {record.path.as_posix(): record for record in workspace.dataset.query}
    with st.sidebar:
        query, missing = pick_query(workspace, asked.query)
        settings = controls.query_settings(asked.settings, workspace.dataset.shortlist, HITS)
        show_junk = controls.junk_switch(workspace.dataset.uses_cameras)

    status.status_line(workspace, settings)
    with st.container():  # always there, so that what stands below keeps its place when a message goes
        show_warnings(
            (
                *wrong,
                *missing,
                *controls.check_map_params("", workspace.weights.knows_identities),
                *link_checks.check_switch("life"),
            )
        )
    st.subheader("Choose a query")
    with st.container(horizontal=True, vertical_alignment="center"):
        identity = controls.identity([record.identity for record in workspace.dataset.query])
        offered = [key for key in records if identity in (None, records[key].identity)]
        places = controls.pagination(
            len(offered), PER_PAGE, offered.index(query.name) if query.name in offered else None
        )
    status.query_strip(workspace, [records[offered[place]] for place in places], query.name, choose_query)

    answers(workspace, query, settings, asked, show_junk)


run_page(page)
