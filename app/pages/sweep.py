"""Sweep page: scores of all combinations of keep rate, alpha and K, for one, several or all queries."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from app.layout import heading

heading("Which settings work best?", "Try every combination of keep rate γ, EMD weight α and K in one run.")

from app.components.sweep_heatmap.content import parse_cell_id
from app.messages import show_warning, show_warnings
from app.server import resources
from app.server.background_job import JobStatus
from app.session import link_checks
from app.session.view import View
from app.session.workspace_choice import default_variant
from app.sweep import heatmap
from app.ui import controls, progress, status
from app.ui.page_frame import load_workspace_or_stop, run_page
from fpc_core.config import KEEP_RATES, QuerySettings
from fpc_core.data.datasets import ImageRecord
from fpc_core.evaluation.sweep.task import SweepGrid

# Prefix that distinguishes query parameters of this page from those of Explore. A page cannot open another page with
# parameters that are bound to its own widgets.
PREFIX = "s_"
SCOPES = ("all", "one", "a set")
RATES = (*KEEP_RATES, 0.4, 0.3)
ALPHA_STEPS = (0.05, 0.1, 0.2, 0.25, 0.5)
COUNTS = (1, 2, 3, 5, 8, 10, 15, 20)
AUTO_START_LIMIT = 16  # Maximum number of queries times keep rates for which a sweep starts without a click.


def choose_queries(records: dict[str, ImageRecord], first_query: str) -> tuple[str, ...]:
    """Render the choice of queries, and return the paths of the chosen ones.

    Args:
        records: Records of the queries by path.
        first_query: Path of the query on a first visit.
    """
    show_warnings(link_checks.check_choice("scope", SCOPES))
    scope = st.segmented_control("Queries", SCOPES, default=SCOPES[0], required=True, key="scope", bind="query-params")
    if scope == "one":
        show_warnings(link_checks.check_choice(f"{PREFIX}query", records))
        return (controls.query_name(list(records), first_query, f"{PREFIX}query"),)
    if scope == "all":
        return tuple(records)
    names = {record.identity: record.person or str(record.identity) for record in records.values()}
    known = sorted(names)
    show_warnings((*link_checks.check_choice("ids", known), *link_checks.check_choice("images", records)))
    identities = st.multiselect(
        "Identities",
        known,
        key="ids",
        bind="query-params",
        filter_mode="prefix",
        select_all=False,
        format_func=names.__getitem__,
    )
    images = st.multiselect("Images", list(records), key="images", bind="query-params")
    return tuple(name for name, record in records.items() if record.identity in identities or name in images)


def choose_grid(shortlist: int) -> SweepGrid | None:
    """Render the choice of keep rates, alphas and K, and return the grid, or None if an axis has no value."""
    offered = [count for count in COUNTS if count <= shortlist]
    for name, values in (("gammas", RATES), ("step", ALPHA_STEPS), ("ks", offered)):
        show_warnings(link_checks.check_choice(name, map("{:g}".format, values)))
    rates = st.pills(
        "Keep rates γ",
        RATES,
        selection_mode="multi",
        default=KEEP_RATES,
        format_func="{:g}".format,
        key="gammas",
        bind="query-params",
    )
    step = st.pills(
        "α step", ALPHA_STEPS, default=0.1, required=True, format_func="{:g}".format, key="step", bind="query-params"
    )
    default = [count for count in SweepGrid().neighbors if count in offered]
    counts = st.pills("Neighbours K", offered, selection_mode="multi", default=default, key="ks", bind="query-params")
    if not rates or not counts:
        return None
    alphas = tuple(round(step * index, 4) for index in range(round(1 / step) + 1))
    return SweepGrid(tuple(sorted(rates, reverse=True)), alphas, tuple(sorted(counts)))


def pick(cell: str) -> None:
    st.session_state["picked-cell"] = cell


def open_cell(query: str, settings: QuerySettings) -> None:
    """If a cell was clicked, open Explore with its settings.

    Args:
        query: Path of the only query of the sweep; empty if it has several.
        settings: Settings of the sweep.
    """
    cell = st.session_state.pop("picked-cell", None)
    if cell is not None:
        rate, alpha, neighbors = parse_cell_id(cell)
        cell_settings = settings.with_keep_rate(rate)
        view = View(query=query, settings=replace(cell_settings, alpha=alpha, neighbors=neighbors))
        st.switch_page("app/pages/explore.py", query_params=view.to_params(default_variant()))


def page() -> None:
    workspace = load_workspace_or_stop()
    dataset = workspace.dataset
    records = {record.path.as_posix(): record for record in dataset.query}
    with st.sidebar:
        queries = choose_queries(records, dataset.first_query)
        grid = choose_grid(dataset.shortlist)
        settings = controls.method_settings(PREFIX)
    settings = replace(settings, neighbors=1, shortlist=dataset.shortlist)
    status.status_line(workspace, settings)
    progress.protocol_caption(dataset)
    if not queries or grid is None:
        st.info("Choose at least one query, one keep rate and one K in the sidebar.", icon=":material/tune:")
        return
    try:
        task, run = resources.sweep_job(workspace, queries, grid, settings)
    except (ValueError, OSError) as error:
        show_warning(str(error))
        return
    if task.skipped:
        show_warning(f"Queries without a correct match in the gallery: {task.skipped}. They are excluded from scoring.")
    query = queries[0] if len(queries) == 1 else ""

    show_warnings(
        (
            *link_checks.check_choice("measure", heatmap.MEASURE_NAMES),
            *link_checks.check_choice("shown", grid.neighbors),
        )
    )

    def render(now: JobStatus) -> None:
        open_cell(query, settings)
        heatmap.render_sweep(task, now.known, pick, whole=len(queries) == len(records))

    progress.run_job(run, "sweep", "searches", heatmap.sweep_size(task), render, auto_start=AUTO_START_LIMIT)


run_page(page)
