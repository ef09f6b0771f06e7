"""Plots of scores: curves (Fig. 4), scores against FLOPs (Table 3), and the map of a sweep."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fpc_core.colours import BLUE, ORANGE, RED
from fpc_core.evaluation.paper_tables.table import ReportTable
from fpc_core.figures.image_grid import letter_of
from fpc_core.figures.matplotlib_style import WORDS, new_figure
from fpc_core.figures.style import WIDTHS, FigureStyle

_LOOKS = {"Rank-1": (BLUE, "o", "-"), "mAP": (ORANGE, "s", (0, (4, 1.5)))}  # Colour, marker and dashes.
_MIN_POINTS = 4.0  # Smallest font size in points that is legible in print.
_AXES = {"alpha": "alpha", "K": "neighbors"}  # Maps each label column of a table to the key of its axis label in WORDS.


def draw_trade_off(tables: Sequence[ReportTable], style: FigureStyle) -> Figure:
    """Plot scores with intervals against the encoder's FLOPs, with one point per keep rate.

    Args:
        tables: One table with a row per keep rate, from `score_figures.compute_scores`.
        style: Size and fonts.
    """
    (table,) = tables
    figure, (axes,) = _panels(1, style)
    work = [row.computed[0] for row in table.rows]
    _plot_scores(axes, work, table)
    axes.margins(x=0.1)  # The labels of the outermost points need some space.
    low, high = axes.get_ylim()
    axes.set(xlabel=WORDS["flops"], ylabel=WORDS["percent"], ylim=(low, high + 0.12 * (high - low)))
    top = axes.get_xaxis_transform()
    for x, row in zip(work, table.rows, strict=True):
        axes.text(
            x, 0.985, f"γ = {row.labels[0]}", transform=top, ha="center", va="top", fontsize=style.font_size - 1.5
        )
        axes.axvline(x, color="#00000018", linewidth=0.5, zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
    _legend(figure, axes, style)
    return figure


def draw_curves(tables: Sequence[ReportTable], style: FigureStyle) -> Figure:
    """Plot scores and intervals against alpha or K, with one panel per table; a dotted line marks the current setting.

    Args:
        tables: Tables with a row per value, from `score_figures.compute_scores`.
        style: Size and fonts.
    """
    figure, panels = _panels(len(tables), style)
    for index, (axes, table) in enumerate(zip(panels, tables, strict=True)):
        values = [float(row.labels[0]) for row in table.rows]
        _plot_scores(axes, values, table)
        used = table.settings.alpha if table.labels[0] == "alpha" else table.settings.neighbors
        axes.axvline(used, color="#00000066", linewidth=0.6, linestyle=(0, (1, 1.5)), zorder=0)
        axes.set(xlabel=WORDS[_AXES[table.labels[0]]], ylabel=WORDS["percent"])
        if table.labels[0] == "K":
            axes.set_xticks([1, *range(5, int(max(values)) + 1, 5)])
        else:
            axes.set_xticks(np.linspace(0, 1, 6))
        axes.spines[["top", "right"]].set_visible(False)
        _add_letter(axes, index, style)
    _legend(figure, panels[0], style)
    return figure


def draw_sweep_map(tables: Sequence[ReportTable], style: FigureStyle) -> Figure:
    """Draw the scores in percent for each keep rate and alpha, with one panel per measure; the best score is framed.

    Args:
        tables: One table with a row per keep rate and alpha, from `score_figures.compute_scores`.
        style: Size and fonts.
    """
    (table,) = tables
    rates, alphas = (list(dict.fromkeys(row.labels[axis] for row in table.rows)) for axis in (0, 1))
    figure, panels = _panels(len(table.measures), style)
    for index, (axes, measure) in enumerate(zip(panels, table.measures, strict=True)):
        values = np.array([100 * row.ours[measure].value for row in table.rows if row.ours])
        grid = values.reshape(len(rates), len(alphas))
        image = axes.imshow(grid, aspect="auto", cmap="viridis")
        # Approximate width of a column in points.
        column = 0.65 * 72 * WIDTHS[style.width] / min(style.columns, len(panels)) / len(alphas)
        _label_cells(axes, grid, min(style.font_size - 1, column / 2.2))
        every = math.ceil(2 * style.font_size / column)
        axes.set_xticks(range(0, len(alphas), every), alphas[::every])
        axes.set_yticks(range(len(rates)), rates)
        axes.set(xlabel=WORDS["alpha"], ylabel=WORDS["keep_rate"])
        axes.tick_params(length=1.5)
        bar = figure.colorbar(image, ax=axes, pad=0.02, fraction=0.06)
        bar.set_label(f"{measure} ({WORDS['percent']})")
        bar.outline.set_linewidth(0.5)
        _add_letter(axes, index, style)
    figure.tight_layout(pad=0.4)
    return figure


def _plot_scores(axes: Axes, at: Sequence[float], table: ReportTable) -> None:
    """Plot Rank-1 and mAP in percent with their intervals.

    Args:
        axes: Axes to draw in.
        at: Horizontal position of each row of the table.
        table: Table with scores.
    """
    for measure, (colour, marker, dashes) in _LOOKS.items():
        estimates = [row.ours[measure] for row in table.rows if row.ours]
        values = [100 * each.value for each in estimates]
        low, high = [100 * each.low for each in estimates], [100 * each.high for each in estimates]
        axes.fill_between(at, low, high, color=colour, alpha=0.13, linewidth=0)
        for ends in (low, high):
            axes.plot(at, ends, color=colour, alpha=0.5, linewidth=0.4, linestyle=dashes)
        axes.plot(at, values, color=colour, marker=marker, linestyle=dashes, label=measure, markersize=3, linewidth=1.1)


def _legend(figure: Figure, axes: Axes, style: FigureStyle) -> None:
    """Enlarge the figure, and draw one legend for all panels in a line above them.

    Args:
        figure: Figure with the panels.
        axes: Panel with the entries of the legend.
        style: Size and fonts.
    """
    width, height = figure.get_size_inches()
    line = style.font_size / 72 * 1.6
    figure.set_size_inches(width, height + line)
    figure.legend(
        *axes.get_legend_handles_labels(), loc="upper right", ncols=2, frameon=False, borderaxespad=0.2, borderpad=0.2
    )
    figure.tight_layout(pad=0.4, rect=(0, 0, 1, 1 - line / (height + line)))


def _label_cells(axes: Axes, grid: np.ndarray, size: float) -> None:
    """Frame the best cell, and write the value of every cell in black on bright and in white on dark colours.

    Args:
        axes: Axes with the grid as an image.
        grid: (rows, columns) values.
        size: Font size in points; if it is too small to read, no values are written.
    """
    low, high = float(grid.min()), float(grid.max())
    for (row, column), value in np.ndenumerate(grid) if size >= _MIN_POINTS else ():
        bright = high > low and (value - low) / (high - low) > 0.55
        colour = "black" if bright else "white"
        axes.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=size, color=colour)
    row, column = np.unravel_index(int(grid.argmax()), grid.shape)
    axes.add_patch(
        Rectangle((column - 0.5, row - 0.5), 1.0, 1.0, fill=False, edgecolor=RED, linewidth=1.2, clip_on=False)
    )


def _panels(count: int, style: FigureStyle) -> tuple[Figure, list[Axes]]:
    """Return a figure with axes for several panels, side by side as far as the style allows.

    Args:
        count: Number of panels.
        style: Size, and maximum number of columns.
    """
    across = min(style.columns, count)
    down = -(-count // across)
    each = max(WIDTHS[style.width] / across * 0.62, 1.4)
    figure = new_figure(style, each * down)
    return figure, [figure.add_subplot(down, across, index + 1) for index in range(count)]


def _add_letter(axes: Axes, index: int, style: FigureStyle) -> None:
    if style.letters:
        axes.set_title(letter_of(index), loc="left", weight="bold", fontsize=style.font_size, pad=3)
