"""Details on the selected hit in tabs: transport plan, comparison, decoder, alpha, single patches and masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from app.sections import by_hand, decoder, patch_lifeline, ranking, transport
from app.sections.save_panel import render_save
from app.sections.summary import lesson_markdown, query_context
from app.server.search import Query, SearchResult
from app.session.view import View
from app.ui.page_frame import report_errors
from app.ui.query_picker import choose_neighbor, choose_pin, view_from_url
from fpc_core.figures.recipe import FigureKind
from fpc_core.workspace import Workspace

TABS = ("Match", "Why", "Decoder", "Query map", "Alpha", "Patch", "By hand")
PARAM = "tab"  # Query parameter of the open tab.


@dataclass(frozen=True, eq=False)
class DetailsInput:
    """Inputs of the tabs.

    Attributes:
        workspace: Workspace of the query.
        query: Query image.
        result: Result of the search.
        chosen: Gallery row of the selected hit, or None.
        show_junk: Whether junk images are shown.
        on_paint: Callback that receives the query parameter of the patches that the visitor drops by hand.
    """

    workspace: Workspace
    query: Query
    result: SearchResult
    chosen: int | None
    show_junk: bool
    on_paint: Callable[[str], None]


@st.fragment(key="details")
@report_errors("-details")
def render_details(inputs: DetailsInput) -> None:
    """Render the tabs. Only the open tab is computed. Opening another one reruns only this fragment.

    The comparison hit and the pin are read from the URL, because this fragment changes them without rerunning the page.
    """
    view, _ = view_from_url(inputs.workspace)
    # Set in links of release 0.1, in which a switch showed the lifelines.
    traced = st.query_params.get("life") == "true"
    default = "Patch" if traced else TABS[0]
    tabs = st.tabs(TABS, default=default, key=PARAM, on_change="rerun", bind="query-params")
    for tab, render in zip(tabs, (_match, _why, _decoder, _query_map, _alpha, _patch, _by_hand), strict=True):
        if tab.open:
            with tab:
                render(inputs, view)


def choose_rival(row: int) -> None:
    """Select the hit with which the selected hit is compared."""
    st.query_params["rival"] = str(row)


def _match(inputs: DetailsInput, view: View) -> None:
    workspace, query, result, chosen = inputs.workspace, inputs.query, inputs.result, inputs.chosen
    matched = chosen is not None and chosen in result.trace.match.shortlist
    if matched:
        st.markdown(lesson_markdown(query_context(workspace, query, result, chosen).comparison_sentence()))
    transport.transport(workspace, query, result, chosen, view.pin, choose_pin)
    if matched:
        render_save(workspace, query, result.trace.settings, FigureKind.TRANSPORT, chosen=chosen)


def _why(inputs: DetailsInput, view: View) -> None:
    workspace, query, result, chosen = inputs.workspace, inputs.query, inputs.result, inputs.chosen
    rival = transport.pairwise_comparison(workspace, query, result, chosen, view.rival, inputs.show_junk, choose_rival)
    if rival is not None:
        render_save(workspace, query, result.trace.settings, FigureKind.MARGIN, chosen=chosen, rival=rival)


def _decoder(inputs: DetailsInput, _view: View) -> None:
    decoder.render_neighbor_maps(inputs.workspace, inputs.query, inputs.result, inputs.chosen, choose_neighbor)


def _query_map(inputs: DetailsInput, _view: View) -> None:
    decoder.render_query_maps(inputs.workspace, inputs.query, inputs.result, inputs.chosen)


def _alpha(inputs: DetailsInput, _view: View) -> None:
    ranking.render_alpha_chart(inputs.chosen, inputs.show_junk)
    render_save(inputs.workspace, inputs.query, inputs.result.trace.settings, FigureKind.ALPHA_LINES)


def _patch(inputs: DetailsInput, view: View) -> None:
    patch_lifeline.render_lifelines(inputs.workspace, inputs.query, inputs.result, view.pin, choose_pin)
    if view.pin is None or view.pin.side != "q":
        st.caption("Pin a patch to save its panel or add it to the figure.")
    else:
        settings = inputs.result.trace.settings
        render_save(inputs.workspace, inputs.query, settings, FigureKind.PATCH_LIFELINE, patch=view.pin.patch)


def _by_hand(inputs: DetailsInput, _view: View) -> None:
    settings = inputs.result.trace.settings
    by_hand.render_start(inputs.workspace, inputs.query, settings.prune, inputs.on_paint)
    by_hand.render_comparison(inputs.workspace, inputs.query, settings, inputs.chosen)
    render_save(inputs.workspace, inputs.query, settings, FigureKind.DROP_PROCESS, key="-by-hand")
