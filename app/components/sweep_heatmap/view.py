"""Heat maps of a sweep: which colour, which words, which cell is the best. Pure functions; the component draws them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fpc_core.evaluation.sweep.tables import SweepCell
from fpc_core.evaluation.sweep.task import SweepGrid
from fpc_core.explain.overlay import viridis

DARK, LIGHT = "#000000", "#ffffff"  # of text on a colour, whichever stands out more


@dataclass(frozen=True)
class Measure:
    """What a heat map shows. rises: whether more is better; the better end is the bright one."""

    name: str
    value: Callable[[SweepCell], float]
    text: Callable[[float], str]
    rises: bool
    explanation: str

    def goodness(self, cell: SweepCell) -> float:
        return self.value(cell) if self.rises else -self.value(cell)


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


def giga(value: float) -> str:
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
        "G multiply-adds of one image's linear layers, as the paper counts",
    ),
)


@dataclass(frozen=True)
class Tile:
    """One cell: `id` is what a click reports, empty where nothing is known yet; colours are CSS."""

    id: str
    text: str
    label: str
    background: str = ""
    foreground: str = ""
    best: bool = False


@dataclass(frozen=True)
class KeepRate:
    """A column's head and foot. note: queries known, where not all are; share: its FLOPs against the dearest."""

    name: str
    note: str
    flops: str
    share: float


@dataclass(frozen=True)
class Heatmap:
    """Alphas down, keep rates across. worst, best: texts at the dark and the bright end of the bar."""

    columns: tuple[KeepRate, ...]
    rows: tuple[str, ...]
    tiles: tuple[tuple[Tile, ...], ...]
    label: str
    worst: str
    best: str


def heatmap(
    cells: Sequence[SweepCell], grid: SweepGrid, flops: Sequence[int], neighbors: int, measure: Measure, queries: int
) -> Heatmap:
    """The cells of one K, at least one in `cells`. Colours span the cells of all Ks, so that maps can be compared.

    flops: of every keep rate of the grid.  queries: of the whole sweep; where fewer are known, the column says so.
    """
    by_place = {(cell.keep_rate, cell.alpha): cell for cell in cells if cell.neighbors == neighbors}
    goodness = [measure.goodness(cell) for cell in cells]
    low, high = min(goodness), max(goodness)
    best = best_cell(list(by_place.values()), measure)
    known = {cell.keep_rate: cell.queries for cell in cells}
    colours = dict(
        zip(by_place, _colours([measure.goodness(cell) for cell in by_place.values()], low, high), strict=True)
    )

    def tile(rate: float, alpha: float) -> Tile:
        cell = by_place.get((rate, alpha))
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
        worst=measure.text(low if measure.rises else -low),
        best=measure.text(high if measure.rises else -high),
    )


def best_cell(cells: Sequence[SweepCell], measure: Measure) -> SweepCell | None:
    """The best by a measure; among equals by mAP, by Rank-1, then the cheapest. None for no cells.

    Keep rates on their way, known for fewer queries than others, do not compete.
    """
    known = max((cell.queries for cell in cells), default=0)
    return max(
        (cell for cell in cells if cell.queries == known),
        key=lambda cell: (measure.goodness(cell), cell.mean_ap, cell.rank1, -cell.flops.without_attention_products),
        default=None,
    )


def summary(cell: SweepCell) -> str:
    """All measures of a cell in words."""
    return (
        f"mAP {percent(cell.mean_ap)}, Rank-1 {percent(cell.rank1)}, first true match at rank "
        f"{cell.first_match_mean:.1f} on average and {cell.first_match_median:g} in the median, "
        f"{giga(cell.flops.without_attention_products / 1e9)} G"
    )


def cell_id(cell: SweepCell) -> str:
    return f"{cell.keep_rate:g}|{cell.alpha:g}|{cell.neighbors}"


def parse_cell_id(text: str) -> tuple[float, float, int]:
    """Keep rate, alpha and K of a clicked cell. Raises ValueError for anything else."""
    rate, alpha, neighbors = text.split("|")
    return float(rate), float(alpha), int(neighbors)


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two hex colours (WCAG 2): 1 to 21, text needs 4.5."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _colours(goodness: Sequence[float], low: float, high: float) -> list[tuple[str, str]]:
    """Background of each value and the text colour that stands out more on it."""
    at = (np.array(goodness) - low) / (high - low) if high > low else np.ones(len(goodness))
    backgrounds = ["#" + "".join(f"{round(part):02x}" for part in colour) for colour in viridis(at).tolist()]
    return [(colour, max((DARK, LIGHT), key=lambda text: contrast(text, colour))) for colour in backgrounds]


def _luminance(colour: str) -> float:
    parts = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))
