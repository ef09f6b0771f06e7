"""Figures of scores over all queries, whose results are stored on disk and shared with evaluations."""

from __future__ import annotations

from collections.abc import Sequence

from fpc_core.evaluation.engine.result_store import ResultStore
from fpc_core.evaluation.engine.runner import run_with_store
from fpc_core.evaluation.metrics.flops import encoder_flops
from fpc_core.evaluation.paper_tables.definitions import Setting, tables_of
from fpc_core.evaluation.paper_tables.export import to_csv
from fpc_core.evaluation.paper_tables.table import ReportTable, Row
from fpc_core.evaluation.paper_tables.task import evaluation_task
from fpc_core.figures.matplotlib_style import FigureWithData
from fpc_core.figures.queries import check_weights
from fpc_core.figures.recipe import FigureKind, FigureRecipe
from fpc_core.figures.score_plots import draw_curves, draw_sweep_map, draw_trade_off
from fpc_core.workspace import Workspace, cache_folder

_DRAW = {
    FigureKind.TRADE_OFF: draw_trade_off,
    FigureKind.SCORE_CURVES: draw_curves,
    FigureKind.SWEEP_MAP: draw_sweep_map,
}


def score_tables(recipe: FigureRecipe, workspace: Workspace) -> tuple[ReportTable, ...]:
    """Return the tables that a figure shows, without scores.

    Args:
        recipe: Recipe of the figure.
        workspace: Data and weights.

    Raises:
        RecipeError: The recipe names other weights.
    """
    check_weights(recipe, workspace)
    setting = Setting(recipe.settings, workspace.retriever.model.config)
    if recipe.kind is FigureKind.SCORE_CURVES:
        return tables_of(["fig4"], setting)
    if recipe.kind is FigureKind.SWEEP_MAP:
        cells = tuple(
            Row((f"{rate:g}", f"{alpha:g}"), setting.fpc(prune=setting.at(rate).settings.prune, alpha=alpha))
            for rate in recipe.keep_rates
            for alpha in recipe.alphas
        )
        return (ReportTable("Sweep", "Scores by keep rate and alpha", recipe.settings, ("keep rate", "alpha"), cells),)
    rows = []
    for rate in recipe.keep_rates:
        how = setting.at(rate)
        flops = encoder_flops(setting.config, how.prune).without_attention_products
        rows.append(Row((f"{rate:g}",), how, (flops / 1e9,)))
    title = "Scores against the FLOPs of the encoder"
    return (ReportTable("Trade-off", title, recipe.settings, ("keep rate",), tuple(rows), computed=("FLOPs (G)",)),)


def compute_scores(recipe: FigureRecipe, workspace: Workspace) -> tuple[ReportTable, ...]:
    """Return the tables of a figure with the scores of all queries.

    Args:
        recipe: Recipe of the figure.
        workspace: Data and weights.

    Raises:
        ValueError: No query has a true match.
        OSError: Results cannot be stored.
        RecipeError: The recipe names other weights.
    """
    task = evaluation_task(workspace.retriever, workspace.dataset, score_tables(recipe, workspace), workspace.notes)
    return task.filled(
        run_with_store(task.work, ResultStore(cache_folder() / "results", read_only=workspace.read_only)).known
    )


def draw_of_scores(recipe: FigureRecipe, tables: Sequence[ReportTable]) -> FigureWithData:
    """Draw a figure of all queries.

    It shows only our scores, because the paper's scores are for other models and data.

    Args:
        recipe: Recipe of the figure.
        tables: Tables of `compute_scores`.
    """
    return FigureWithData(_DRAW[recipe.kind](tables, recipe.style), "\n".join(map(to_csv, tables)))
