"""Explore page: which patches of a query are dropped, which gallery images are retrieved, and why.

The page fits on one screen: the queries at the top, masks, sliders and rankings on the left, and the details of the
selected hit on the right.
"""

from __future__ import annotations

from functools import partial

import streamlit as st

from app.layout import heading, inject_explore_css

FIRST_VISIT = "explore-visited"  # Key of the state that is set once the page has been shown.
inject_explore_css()
skeleton = st.empty()  # Grey boxes that a first visit shows until the rankings are rendered.
header = st.container(key="explore-header", horizontal=True, vertical_alignment="center")
with header:
    if FIRST_VISIT not in st.session_state:
        with skeleton.container(key="skeleton"):
            st.caption("Loading the model and the data. The first visit after a start takes about ten seconds.")
    heading("FPC Explorer")

from app.components.tour import tour
from app.explore.legend import render_legend
from app.explore.queries import filter_by_person, render_queries
from app.explore.timings import render_timings
from app.explore.tour import TOUR
from app.messages import show_warnings
from app.sections import details, ranking
from app.sections.save_panel import render_code, render_save
from app.server import search
from app.server.search import Query, SearchResult
from app.session import given_patches, link_checks, pending_release
from app.session.display import PRUNED
from app.session.view import write_slider_params
from app.ui import controls, display_controls, heatmap_controls, status
from app.ui.gallery_choice import workspace_to_search
from app.ui.page_frame import load_workspace_or_stop, report_errors, run_page
from app.ui.page_shortcuts import explore_shortcuts
from app.ui.query_picker import (
    apply_first_visit_defaults,
    choose_neighbor,
    pick_query,
    render_examples,
    step_query,
    view_from_url,
)
from fpc_core.config import QuerySettings
from fpc_core.explain.overlay import PrunedStyle
from fpc_core.figures.recipe import FigureKind
from fpc_core.workspace import Workspace

HITS = "hits"  # Key of the fragment that shows the ranked strips.
# Widths of masks and hits. The unit depends on the size of the window; it is set in explore.css.
MASK_WIDTH, HIT_WIDTH = "calc(1.8 * var(--unit))", "var(--unit)"


@st.fragment(key=HITS)
@report_errors("-hits")
def hits(
    workspace: Workspace, query: Query, settings: QuerySettings, neighbor: int | None, show_junk: bool
) -> tuple[SearchResult, int | None]:
    """Render the ranked strips, and return the search result and the gallery row of the selected hit.

    When a slider is released, this fragment reruns before the whole page. Therefore it takes the values of the sliders
    from the URL.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        settings: Query settings, in which the values of the sliders are replaced.
        neighbor: Gallery row of the selected hit in the link, or None.
        show_junk: Whether junk images are shown.
    """
    view, _ = view_from_url(workspace)
    result = search.search(workspace, query, controls.with_slider_values(settings, view.settings))

    def pick(row: str) -> None:
        choose_neighbor(row)
        st.rerun()  # The whole page reruns, because other sections show the hit too.

    chosen = ranking.render_ranking(workspace, query, result, neighbor, show_junk, pick, HIT_WIDTH)
    controls.rerun_page_after_paint()
    return result, chosen


def on_paint(given: str) -> None:
    """Store the patches dropped by hand, given as a query parameter, and show the new results."""
    values = {given_patches.PARAM: given}
    write_slider_params(st.query_params, values)
    pending_release.rerun_fragment_for_release(HITS, values)


def page() -> None:
    of_dataset = load_workspace_or_stop()
    workspace, gallery_problems = workspace_to_search(of_dataset)
    apply_first_visit_defaults(of_dataset.dataset.neighbors)
    view, problems = view_from_url(workspace)
    with st.container(key="explore", gap="xxsmall"):
        warnings = st.container()  # Always present, so that the content below does not move when a message disappears.
        queries = st.container()
        left, right = st.columns([3, 2], gap="small")
        with left, st.container(gap="xxsmall"):
            with st.container(key="instrument", horizontal=True, gap="small"):
                masks, sliders = st.container(key="masks-panel"), st.container(key="slider-panel")
            strips = st.container()
    with st.sidebar:
        query, missing = pick_query(workspace, view.query)
        render_examples(workspace, query.name)
        identity = filter_by_person(workspace, query.name)
        settings = controls.query_settings(view.settings, workspace.shortlist_for(query.subject.path), HITS, sliders)
        show_junk = display_controls.junk_switch(workspace.dataset.excludes_own_camera)
        with st.container(key="help", horizontal=True):
            tour(TOUR)
            with st.popover("Legend", type="tertiary", key="legend"):
                render_legend()
                display_controls.pruned_style_choice()
            save = st.popover("Save", type="tertiary")
            timings = st.popover("Timing", type="tertiary")
    with header:
        status.status_line(workspace, settings)
    with warnings:
        map_problems = heatmap_controls.check_map_params("", workspace.weights.knows_identities)
        choice_problems = (
            *link_checks.check_choice(details.PARAM, details.TABS),
            *link_checks.check_choice(PRUNED, PrunedStyle),
        )
        show_warnings((*problems, *gallery_problems, *missing, *map_problems, *choice_problems))
    with queries:
        render_queries(workspace, query.name, identity)
    with strips:  # The strips are computed first, because the panels around them show the selected hit.
        result, chosen = hits(workspace, query, settings, view.neighbor, show_junk)
    skeleton.empty()
    with masks:
        ranking.render_masks(workspace, query, settings, MASK_WIDTH, on_paint)
    with right, st.container(key="details-panel"):
        details.render_details(details.DetailsInput(workspace, query, result, chosen, show_junk, on_paint))
    with save:
        for title, kind in (("Masks", FigureKind.DROP_PROCESS), ("Rankings", FigureKind.RANKED_LIST)):
            st.markdown(f"**{title}**")
            render_save(workspace, query, settings, kind)
        st.caption("The tabs on the right save their own panels.")
        render_code(workspace, query, settings)
    with timings:
        render_timings(result)
    explore_shortcuts(details.TABS, partial(step_query, workspace, query.name, identity))
    ranking.keep_rates(workspace, query, settings, chosen)


try:
    run_page(page)
finally:  # Also removes the skeleton if the page shows an error instead of results.
    skeleton.empty()
    st.session_state[FIRST_VISIT] = True
