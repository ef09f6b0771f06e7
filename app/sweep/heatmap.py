"""Heat map of a sweep, with its table for download."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import streamlit as st

from app.components.sweep_heatmap import heatmap_table
from app.components.sweep_heatmap.content import MEASURES, heatmap, summary
from app.server.downloads import on_demand
from app.session.figure_basket import add_button
from fpc_core.evaluation.engine.passes import Known
from fpc_core.evaluation.metrics.flops import encoder_flops
from fpc_core.evaluation.sweep.tables import best_cell, sweep_cells, sweep_table
from fpc_core.evaluation.sweep.task import SweepTask
from fpc_core.figures.recipe import FigureKind

MEASURE_NAMES = tuple(measure.name for measure in MEASURES)


def sweep_size(task: SweepTask) -> str:
    """Return a description of the searches in a sweep: the number of queries and keep rates."""
    queries, rates = len(task.queries), len(task.grid.keep_rates)
    return f"{queries} {'query' if queries == 1 else 'queries'} × {rates} keep rate{'' if rates == 1 else 's'}"


def render_sweep(task: SweepTask, known: Known, on_pick: Callable[[str], None], whole: bool) -> None:
    """Render the heat map of the results so far, and the table for download.

    Args:
        task: Task of the sweep.
        known: Results so far.
        on_pick: Callback that receives the id of a clicked cell.
        whole: Whether the sweep covers all queries. Only then can it be added to a figure, which shows all queries.
    """
    grid = task.grid
    cells = sweep_cells(task, known)
    if not cells:
        st.info("Results appear here once the first query is done.", icon=":material/grid_on:")
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        names = {measure.name: measure for measure in MEASURES}
        name = st.segmented_control(
            "Metric", list(names), default="mAP", required=True, key="measure", bind="query-params"
        )
        measure = names[name]
        neighbors = grid.neighbors[0]
        if len(grid.neighbors) > 1:
            default = 10 if 10 in grid.neighbors else neighbors
            neighbors = st.select_slider(
                "Show results for K =", grid.neighbors, default, key="shown", bind="query-params", width=260
            )
    config = task.retriever.model.config
    flops = [
        encoder_flops(config, task.settings.with_keep_rate(rate).prune).without_attention_products
        for rate in grid.keep_rates
    ]

    heatmap_table(heatmap(cells, grid, flops, neighbors, measure, len(task.queries)), key="heatmap", on_pick=on_pick)
    best = best_cell(cells, measure.goodness)
    st.markdown(
        f"**Best {measure.name}** of all K: keep rate {best.keep_rate:g}, α {best.alpha:g}, K {best.neighbors}: "
        f"{summary(best)}."
    )
    st.caption("★ best cell shown · same colour scale for all K · click a cell to open it in Explore")
    with st.container(horizontal=True):
        st.download_button(
            "All cells as CSV",
            on_demand(("sweep", id(known)), lambda: sweep_table(task, known).to_csv(index=False)),
            "sweep.csv",
            "text/csv",
            icon=":material/download:",
            key="csv",
        )
        if whole:
            shown = replace(task.settings, neighbors=neighbors)
            add_button(None, shown, FigureKind.SWEEP_MAP, keep_rates=grid.keep_rates, alphas=grid.alphas)
