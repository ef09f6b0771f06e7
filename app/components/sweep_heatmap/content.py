"""What the heat maps of a sweep show: colours, texts and the marked cell. All functions are pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fpc_core.evaluation.sweep.tables import SweepCell, best_cell
from fpc_core.evaluation.sweep.task import SweepGrid
from fpc_core.explain.overlay import viridis

DARK, LIGHT = "#000000", "#ffffff"  # Text colours; each cell uses the one with more contrast.


@dataclass(frozen=True)
class Measure:
    """A score that a heat map shows. Better values have brighter colours.

    Attributes:
        name: Name of the score.
        value: Function that returns the score of a cell.
        text: Function that formats the score.
        higher_is_better: Whether a higher score is better.
        explanation: Explanation of the score beside the colour bar.
    """

    name: str
    value: Callable[[SweepCell], float]
    text: Callable[[float], str]
    higher_is_better: bool
    explanation: str

    def goodness(self, cell: SweepCell) -> float:
        """Return the score of a cell, negated if lower is better."""
        return self.value(cell) if self.higher_is_better else -self.value(cell)


def percent(value: float) -> str:
    """Return a share from 0 to 1 as a percentage without its sign."""
    return f"{100 * value:.1f}"


def giga(value: float) -> str:
    """Return a number of 10^9 operations as text."""
    return f"{value:.2f}"


MEASURES = (
    Measure("mAP", lambda cell: cell.mean_ap, percent, True, "mean average precision in percent"),
    Measure("Rank-1", lambda cell: cell.rank1, percent, True, "queries whose first hit is right, in percent"),
    Measure(
        "Mean rank",
        lambda cell: cell.first_match_mean,
        "{:.1f}".format,
        False,
        "rank of the first true match, mean over queries",
    ),
    Measure(
        "Median rank",
        lambda cell: cell.first_match_median,
        "{:.1f}".format,
        False,
        "rank of the first true match, median over queries",
    ),
    Measure(
        "FLOPs",
        lambda cell: cell.flops.without_attention_products / 1e9,
        giga,
        False,
        "10⁹ multiply-adds in the linear layers for one image, as the paper counts them",
    ),
)


@dataclass(frozen=True)
class Tile:
    """A cell of a heat map.

    Attributes:
        id: Id that a click reports; empty for a cell that is not computed yet.
        text: Formatted score.
        label: Description for screen readers and the tooltip.
        background: CSS colour of the cell.
        foreground: CSS colour of the text.
        best: Whether the cell is the best one of its heat map.
    """

    id: str
    text: str
    label: str
    background: str = ""
    foreground: str = ""
    best: bool = False


@dataclass(frozen=True)
class KeepRate:
    """What the header and the footer of the column of a keep rate show.

    Attributes:
        name: Formatted keep rate.
        note: Number of completed queries, or empty if all are complete.
        flops: Formatted number of 10^9 FLOPs.
        share: FLOPs relative to the most expensive column, 0 to 1.
    """

    name: str
    note: str
    flops: str
    share: float


@dataclass(frozen=True)
class Heatmap:
    """A heat map with a row per alpha and a column per keep rate.

    Attributes:
        columns: Header and footer of each column.
        rows: Header of each row.
        tiles: Cells by row and column.
        label: Name and explanation of the score.
        worst: Text at the dark end of the colour bar.
        best: Text at the bright end of the colour bar.
    """

    columns: tuple[KeepRate, ...]
    rows: tuple[str, ...]
    tiles: tuple[tuple[Tile, ...], ...]
    label: str
    worst: str
    best: str


def heatmap(
    cells: Sequence[SweepCell], grid: SweepGrid, flops: Sequence[int], neighbors: int, measure: Measure, queries: int
) -> Heatmap:
    """Return the heat map for one K. The colour scale is that of all K, so that heat maps can be compared.

    Args:
        cells: Cells of all K, including at least one of this K.
        grid: Grid of the sweep.
        flops: FLOPs of each keep rate.
        neighbors: K of this heat map.
        measure: Score to show.
        queries: Number of queries in the sweep; columns with fewer are marked.
    """
    by_setting = {(cell.keep_rate, cell.alpha): cell for cell in cells if cell.neighbors == neighbors}
    goodness = [measure.goodness(cell) for cell in cells]
    low, high = min(goodness), max(goodness)
    best = best_cell(list(by_setting.values()), measure.goodness)
    known = {cell.keep_rate: cell.queries for cell in cells}
    colours = dict(
        zip(by_setting, _colours([measure.goodness(cell) for cell in by_setting.values()], low, high), strict=True)
    )

    def tile(rate: float, alpha: float) -> Tile:
        cell = by_setting.get((rate, alpha))
        where = f"keep rate {rate:g}, alpha {alpha:g}, K {neighbors}"
        if cell is None:
            return Tile("", "", f"{where}: not computed yet")
        text = measure.text(measure.value(cell))
        label = f"{where}: {measure.name} {text}{', the best shown' if cell is best else ''}; {summary(cell)}"
        return Tile(cell_id(cell), text, label, *colours[rate, alpha], best=cell is best)

    return Heatmap(
        columns=tuple(
            KeepRate(
                f"{rate:g}",
                "" if known.get(rate, 0) == queries else f"{known.get(rate, 0)} of {queries}",
                giga(count / 1e9),
                count / max(flops),
            )
            for rate, count in zip(grid.keep_rates, flops, strict=True)
        ),
        rows=tuple(f"{alpha:g}" for alpha in grid.alphas),
        tiles=tuple(tuple(tile(rate, alpha) for rate in grid.keep_rates) for alpha in grid.alphas),
        label=f"{measure.name}: {measure.explanation}",
        worst=measure.text(low if measure.higher_is_better else -low),
        best=measure.text(high if measure.higher_is_better else -high),
    )


def summary(cell: SweepCell) -> str:
    """Return a text with all scores of a cell."""
    return (
        f"mAP {percent(cell.mean_ap)}, Rank-1 {percent(cell.rank1)}, rank of the first true match "
        f"{cell.first_match_mean:.1f} (mean) and {cell.first_match_median:g} (median), "
        f"{giga(cell.flops.without_attention_products / 1e9)} GFLOPs"
    )


def cell_id(cell: SweepCell) -> str:
    """Return the id of a cell, made of keep rate, alpha and K."""
    return f"{cell.keep_rate:g}|{cell.alpha:g}|{cell.neighbors}"


def parse_cell_id(text: str) -> tuple[float, float, int]:
    """Return keep rate, alpha and K of the cell with this id. Raises ValueError if the text is not an id."""
    rate, alpha, neighbors = text.split("|")
    return float(rate), float(alpha), int(neighbors)


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours by WCAG 2, from 1 to 21. Text needs at least 4.5.

    Args:
        one: Colour in the form #rrggbb.
        other: Colour in the form #rrggbb.
    """
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _colours(goodness: Sequence[float], low: float, high: float) -> list[tuple[str, str]]:
    """Return the background colour of each value, and the text colour that has more contrast with it.

    Args:
        goodness: Values, of which higher ones are better.
        low: Value of the first colour.
        high: Value of the last colour.
    """
    fraction = (np.array(goodness) - low) / (high - low) if high > low else np.ones(len(goodness))
    backgrounds = ["#" + "".join(f"{round(part):02x}" for part in colour) for colour in viridis(fraction).tolist()]
    return [(colour, max((DARK, LIGHT), key=lambda text: contrast(text, colour))) for colour in backgrounds]


def _luminance(colour: str) -> float:
    parts = np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))
