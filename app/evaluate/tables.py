"""Sections of the Evaluate page: tables, curves, recipes of rows, and downloads."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from app.components.score_table import score_table
from app.components.score_table.content import picked_row, score_sheet
from app.evaluate.curves import curve_figure
from app.messages import escape_markdown
from app.server.downloads import on_demand
from app.session.figure_basket import add_button
from app.session.view import View
from app.session.workspace_choice import default_variant
from fpc_core.config import DropStrategy
from fpc_core.data.datasets import Dataset
from fpc_core.evaluation.paper_tables.export import FORMATS, to_csv, to_latex, to_markdown
from fpc_core.evaluation.paper_tables.published import FIG_4_ALPHA, FIG_4_NEIGHBORS, TABLE_3
from fpc_core.evaluation.paper_tables.score_recipe import Method
from fpc_core.evaluation.paper_tables.table import ReportTable
from fpc_core.evaluation.paper_tables.task import EvaluationTask
from fpc_core.figures.recipe import FigureKind

METHOD_DESCRIPTIONS = {
    Method.ENCODER: "the sparse encoder's own feature, without matching and consolidation",
    Method.FPC: "FPC: the feature after consolidation",
    Method.RE_RANKED: "FPC, then k-reciprocal re-ranking",
}

FIGURES = {
    TABLE_3.name: FigureKind.TRADE_OFF,
    FIG_4_ALPHA.name: FigureKind.SCORE_CURVES,
    FIG_4_NEIGHBORS.name: FigureKind.SCORE_CURVES,
}
"""Kind of figure that shows the same scores, by the name of the table."""


def evaluation_size(task: EvaluationTask) -> str:
    """Return a description of the steps of an evaluation: the number of queries, settings and gallery images."""
    work = task.work
    queries, images = len(work.queries), len(work.dataset.gallery)
    count = sum(not eval_pass.gallery for eval_pass in work.passes)
    noun = "setting" if count == 1 else "settings"
    parts = [f"{queries} {'query' if queries == 1 else 'queries'} × {count} pruning {noun}"]
    if count < len(work.passes):
        parts.append(f"{images} gallery images")
    return ", ".join(parts)


def render_scoring_help(dataset: Dataset) -> None:
    """Render an explanation of how the scores are computed."""
    cameras = (
        "Gallery images of the query's person from the query's camera are junk images. They are removed before ranking."
        if dataset.uses_cameras
        else "This dataset has no usable camera labels, so no gallery image is ignored."
    )
    with st.expander("How are these scores computed?", icon=":material/help:"):
        st.markdown(
            f"Scores follow the protocol of Market-1501 and the released code. {cameras} Rank-1 is the share of "
            "queries whose first hit is correct. mAP is the mean of the average precision over all queries."
        )
        st.markdown(
            "An interval is the middle 95% of 2,000 bootstrap resamples. People are resampled with all their queries, "
            "because queries of one person are similar. Differences well within an interval are not meaningful."
        )
        st.markdown(
            "The paper's numbers are for its ViT-B on the data named above them. Our numbers are comparable "
            "only with the same data and weights."
        )
        if dataset.synthetic:
            st.markdown(
                "**This data is synthetic**: rendered people and a small ViT. It shows how the parts of the "
                "method compare, not how well FPC works on photographs."
            )


def render_tables(all_tables: Sequence[ReportTable], on_pick: Callable[[str], None]) -> None:
    """Render tables, the curves of Fig. 4 and downloads.

    Args:
        all_tables: Tables in order.
        on_pick: Callback that receives the `ScoreRow.pick` of a clicked recipe.
    """
    for table in all_tables:
        st.header(f"{table.name}: {table.title}")
        if table.name.startswith("Fig"):
            st.plotly_chart(
                curve_figure(table),
                config={"displayModeBar": False},
                key=f"curve-{table.slug}",
                alt=f"{table.name}: Rank-1 and mAP against {table.labels[0]}; the table below has the same numbers",
            )
        score_table(score_sheet(table), key=f"scores-{table.slug}", on_pick=on_pick)
        for note in table.notes:
            st.caption(escape_markdown(note, 1000))
        with st.container(horizontal=True, vertical_alignment="center"):
            for name, suffix, write in (
                ("CSV", ".csv", to_csv),
                ("LaTeX", ".tex", to_latex),
                ("Markdown", ".md", to_markdown),
            ):
                st.download_button(
                    name,
                    on_demand((suffix, table), partial(write, table)),
                    f"{table.slug}{suffix}",
                    "text/plain",
                    icon=":material/download:",
                    key=f"{table.slug}{suffix}",
                    type="tertiary",
                    disabled=not table.complete,
                )
            if table.name in FIGURES:
                rates = tuple(float(row.labels[0]) for row in table.rows) if table.labels == ("keep rate",) else ()
                add_button(None, table.settings, FIGURES[table.name], key=f"-{table.slug}", keep_rates=rates)


def bundle(all_tables: Sequence[ReportTable]) -> bytes:
    """Return a ZIP file with every table in every format."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for table in all_tables:
            for suffix, write in FORMATS.values():
                archive.writestr(zipfile.ZipInfo(f"{table.slug}{suffix}"), write(table))
    return buffer.getvalue()


@st.dialog("Recipe", width="large")
def render_recipe_dialog(pick: str, all_tables: tuple[ReportTable, ...]) -> None:
    """Render a dialog with the recipe and the scores of a row, and a button that opens the settings in Explore.

    Args:
        pick: `ScoreRow.pick` of the row.
        all_tables: Tables on the page.
    """
    chosen = picked_row(pick, all_tables)
    if chosen is None:
        st.info("This row is no longer in the table.")
        return
    table, index = chosen
    row = table.rows[index]
    recipe = row.recipe
    if recipe is None:  # Never true, because `picked_row` returns only rows with a recipe, but mypy needs the check.
        return
    st.markdown(f"**{table.name}, {escape_markdown(' · '.join(row.labels))}**: {METHOD_DESCRIPTIONS[recipe.method]}.")
    if row.ours is not None and row.ours.settled:
        st.table(
            {
                "measure": [*table.measures],
                "percent": [f"{100 * row.ours[measure].value:.1f}" for measure in table.measures],
                f"{100 * recipe.bootstrap.level:g} % interval": [
                    f"{100 * row.ours[measure].low:.1f} to {100 * row.ours[measure].high:.1f}"
                    for measure in table.measures
                ],
            }
        )
    with st.container(horizontal=True):
        if st.button("Open in Explore", icon=":material/person_search:", key="recipe-explore", type="primary"):
            view = View(settings=recipe.settings)
            st.switch_page("app/pages/explore.py", query_params=view.to_params(default_variant()))
        st.download_button(
            "Recipe (JSON)",
            recipe.to_json(),
            "recipe.json",
            "application/json",
            icon=":material/download:",
            key="recipe-json",
        )
    if recipe.settings.prune.strategy is DropStrategy.RANDOM:
        st.caption("The table uses a new random sample for each query; Explore uses the same sample for all queries.")
    st.caption("Reproduce this score from the command line:")
    st.code("python -m fpc_core evaluate --recipe recipe.json", language=None, wrap_lines=True)
    st.code(recipe.to_json(), language=None)
