"""Figures of scores over all queries; what was computed once is kept on disk, where evaluations look as well."""

from __future__ import annotations

from matplotlib.figure import Figure

from fpc_core.evaluation.flops import encoder_flops
from fpc_core.evaluation.report import ReportTable, Row
from fpc_core.evaluation.report_tables import Setting
from fpc_core.evaluation.run import run_kept
from fpc_core.evaluation.store import ResultStore
from fpc_core.evaluation.task import evaluation_task
from fpc_core.figures.recipe import WIDTHS, FigureRecipe, FigureStyle
from fpc_core.figures.style import WORDS, new_figure
from fpc_core.workspace import Workspace, cache_folder

_LOOKS = (("Rank-1", "#2f6fde", "o", "-"), ("mAP", "#d9822b", "s", (0, (4, 1.5))))  # measure, colour, marker, dashes


def trade_off(recipe: FigureRecipe, space: Workspace) -> ReportTable:
    """Rank-1 and mAP of all queries at every keep rate of the recipe, with the encoder's G multiply-adds an image.

    Raises ValueError where no query has a true match, OSError where results cannot be kept.
    """
    setting = Setting(recipe.settings, space.retriever.model.config)
    rows = []
    for rate in recipe.keep_rates:
        how = setting.at(rate)
        flops = encoder_flops(setting.config, how.prune).without_attention_products
        rows.append(Row((f"{rate:g}",), how, (flops / 1e9,)))
    title = "Scores against the work of the encoder"
    table = ReportTable("Trade-off", title, recipe.settings, ("keep rate",), tuple(rows), computed=("FLOPs (G)",))
    task = evaluation_task(space.retriever, space.dataset, [table])
    return task.filled(run_kept(task.work, ResultStore(cache_folder() / "results", read_only=space.read_only)).known)[0]


def draw_trade_off(table: ReportTable, style: FigureStyle) -> Figure:
    """A point per keep rate: scores with their intervals above the encoder's work."""
    words = WORDS[style.language]
    figure = new_figure(style, WIDTHS[style.width] * 0.66)
    axes = figure.add_subplot()
    work = [row.computed[0] for row in table.rows]
    for measure, colour, marker, dashes in _LOOKS:
        found = [row.ours[measure] for row in table.rows if row.ours]
        values = [100 * each.value for each in found]
        reach = [[100 * (each.value - each.low) for each in found], [100 * (each.high - each.value) for each in found]]
        axes.errorbar(
            work, values, reach, color=colour, marker=marker, linestyle=dashes, label=measure, markersize=3.5,
            linewidth=1.1, elinewidth=0.6, capsize=1.8, capthick=0.6,
        )  # fmt: skip
    axes.margins(x=0.1)  # room for the labels of the outermost points
    low, high = axes.get_ylim()
    axes.set(xlabel=words["flops"], ylabel=words["percent"], ylim=(low, high + 0.12 * (high - low)))
    top = axes.get_xaxis_transform()
    for x, row in zip(work, table.rows, strict=True):
        axes.text(
            x, 0.985, f"γ = {row.labels[0]}", transform=top, ha="center", va="top", fontsize=style.font_size - 1.5
        )
        axes.axvline(x, color="#00000018", linewidth=0.5, zorder=0)
    axes.legend(loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout(pad=0.4)
    return figure
