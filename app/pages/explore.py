"""One query, the whole way: what was dropped, who was found, and why."""

from __future__ import annotations

import streamlit as st

from app.layout import heading

heading("FPC Explorer", "Pick an occluded person: see which patches the model drops, whom it finds, and why.")

from app.learn import step
from app.messages import problems
from app.sections import decoder, patch_lifeline, ranking, transport
from app.server import search
from app.server.search import Found, Query
from app.session import link_checks
from app.session.figure_basket import Item, add_button
from app.session.view import View
from app.ui import controls
from app.ui.page_frame import mishaps_told, open_or_explain, run_page
from app.ui.query_picker import (
    PER_PAGE,
    asked_view,
    begin,
    choose_neighbor,
    choose_pin,
    choose_query,
    chosen_query,
    of_the_data,
)
from fpc_core.config import QuerySettings
from fpc_core.workspace import Workspace

HITS = "hits"


def choose_rival(row: int) -> None:
    st.query_params["rival"] = str(row)


@st.fragment(key=HITS)
@mishaps_told("-hits")
def hits(
    space: Workspace, query: Query, usual: QuerySettings, neighbor: int | None, show_junk: bool
) -> tuple[Found, int | None]:
    """What a moved dial waits for: drawn by itself, before the page follows. Returns the chosen neighbour as well."""
    asked, _ = asked_view(space)
    found = search.search(space, query, controls.at_dials(usual, asked.settings))

    def pick(row: str) -> None:
        choose_neighbor(row)
        st.rerun()  # the whole page shows the neighbour, not this fragment alone

    chosen = ranking.ranked(space, query, found, neighbor, show_junk, pick)
    controls.then_the_page()
    return found, chosen


def answers(space: Workspace, query: Query, settings: QuerySettings, asked: View, show_junk: bool) -> None:
    """Everything below the choice of a query. What a moved dial waits for is drawn first."""
    short, masks, strips = st.container(key="in-short"), st.container(), st.container()
    with strips:
        found, chosen = hits(space, query, settings, asked.neighbor, show_junk)
    with masks:
        left, clock = st.columns([3, 2], gap="medium")
        with left:
            ranking.dropped(space, query, settings)
        patch_lifeline.patch_life(space, query, found, asked.pin, choose_pin)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        transport.transport(space, query, found, chosen, asked.pin, choose_pin)
    with right:
        ranking.alpha_lines(chosen, show_junk)
    if of_the_data(query):
        gallery = space.retriever.memory.records[chosen].path.as_posix() if chosen is not None else ""
        add_button(Item(query.name), settings, gallery=gallery)
    transport.win(space, query, found, chosen, asked.rival, show_junk, choose_rival)
    decoder.decoder(space, query, found, chosen, choose_neighbor)
    with clock:
        ranking.timings(found)
    with short:
        step.in_short(space, query, found, chosen)
    ranking.keep_rates(space, query, settings, chosen)


def page() -> None:
    space = open_or_explain()
    begin(space.dataset.neighbors)
    asked, wrong = asked_view(space)
    records = {record.path.as_posix(): record for record in space.dataset.query}
    with st.sidebar:
        query, missing = chosen_query(space, asked.query)
        settings = controls.query_settings(asked.settings, space.dataset.shortlist, HITS)
        show_junk = controls.junk_switch(space.dataset.uses_cameras)

    ranking.status_line(space, settings)
    with st.container():  # always there, so that what stands below keeps its place when a message goes
        problems(
            (
                *wrong,
                *missing,
                *controls.map_problems("", space.weights.knows_identities),
                *link_checks.no_switch("life"),
            )
        )
    st.subheader("Whom are we looking for?")
    with st.container(horizontal=True, vertical_alignment="center"):
        identity = controls.identity([record.identity for record in space.dataset.query])
        offered = [key for key in records if identity in (None, records[key].identity)]
        places = controls.page_of(len(offered), PER_PAGE, offered.index(query.name) if query.name in offered else None)
    ranking.query_strip(space, [records[offered[place]] for place in places], query.name, choose_query)

    answers(space, query, settings, asked, show_junk)


run_page(page)
