"""Atlas page: all queries, grouped by the stage that found or lost the right person. A click opens one in Explore."""

from __future__ import annotations

import streamlit as st

from app.layout import heading

heading(
    "Where does it go wrong?",
    "All queries, grouped by the stage that found or lost the right person (cosine, D, consolidation).",
)

from app.atlas import cases
from app.messages import show_warning, show_warnings
from app.server import resources
from app.server.background_job import JobStatus
from app.session import link_checks
from app.session.view import View
from app.session.workspace_choice import default_variant
from app.ui import controls, progress, status
from app.ui.page_frame import load_workspace_or_stop, report_errors, run_page
from fpc_core.config import QuerySettings
from fpc_core.evaluation.failure_analysis.cases import PRUNED_BELOW, classify

PREFIX = "at_"  # Prefix that distinguishes query parameters of this page from those of Explore.
AUTO_START_LIMIT = 256  # Maximum number of queries for which the analysis starts without a click.


def pick(query: str, row: int) -> None:
    st.session_state["picked-case"] = (query, row)


def open_case(settings: QuerySettings) -> None:
    """If a case was clicked, open Explore with its query, the clicked hit and these settings."""
    picked = st.session_state.pop("picked-case", None)
    if picked is not None:
        query, row = picked
        view = View(query=query, neighbor=None if row < 0 else row, settings=settings)
        st.switch_page("app/pages/explore.py", query_params=view.to_params(default_variant()))


def pruned_share() -> float:
    """Render a slider for the share of the visible person below which the person counts as pruned, and return it."""
    show_warnings(link_checks.check_range("pruned", 0, 100))
    percent = st.slider(
        'Count as "pruned" below (% of person kept)',
        0,
        100,
        round(100 * PRUNED_BELOW),
        5,
        key="pruned",
        bind="query-params",
        help="Share of the visible person's area that survives the last pruning layer (ground-truth masks).",
    )
    return percent / 100


def page() -> None:
    workspace = load_workspace_or_stop()
    with st.sidebar:
        settings = controls.side_settings(
            PREFIX, QuerySettings(neighbors=workspace.dataset.neighbors), workspace.dataset.shortlist
        )
    status.status_line(workspace, settings)
    progress.protocol_caption(workspace.dataset)
    try:
        task, run = resources.atlas_job(workspace, settings)
    except (ValueError, OSError) as error:
        show_warning(str(error))
        return
    below = PRUNED_BELOW
    if task.masks:
        with st.sidebar:
            below = pruned_share()
    if task.skipped:
        show_warning(f"Queries without a correct match in the gallery: {task.skipped}. They are not classified.")

    @report_errors("-cases")
    def render(now: JobStatus) -> None:
        open_case(settings)
        selection = cases.filters(task)
        cases_with_pairs = [
            (case, pairs) for case, pairs in task.cases_with_pairs(now.known) if selection.accepts(case)
        ]
        chosen = cases.chosen_class([case for case, _ in cases_with_pairs], below)
        cases.render_class_summary(chosen, [case for case, _ in cases_with_pairs], task, below)
        shown = [each for each in cases_with_pairs if chosen in (cases.ALL, classify(each[0], below))]
        if now.done:
            cases.grid(workspace, task, [case for case, _ in shown], below, pick)
        else:
            st.info("Cases appear here once the first query is done.", icon=":material/travel_explore:")
        if shown:
            cases.distances(shown, movable=not now.active)

    progress.run_job(run, "atlas", "searches", "one per query", render, auto_start=AUTO_START_LIMIT)


run_page(page)
