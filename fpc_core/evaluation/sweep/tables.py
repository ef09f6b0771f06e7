"""Scores of every cell of a sweep's grid, as numbers, as a data frame and as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from fpc_core.evaluation.engine.passes import Known
from fpc_core.evaluation.engine.protocol import protocol_notes
from fpc_core.evaluation.metrics.flops import Flops, encoder_flops
from fpc_core.evaluation.sweep.task import SweepTask


@dataclass(frozen=True)
class SweepCell:
    """Scores of one cell of the grid over the queries computed so far.

    `first_match_mean` and `first_match_median` are 1-based ranks of the first true match; `flops` is for one image.
    """

    keep_rate: float
    alpha: float
    neighbors: int
    rank1: float
    mean_ap: float
    first_match_mean: float
    first_match_median: float
    flops: Flops
    queries: int


def sweep_cells(task: SweepTask, known: Known) -> list[SweepCell]:
    """Return the cells with at least one computed query, in the order of the grid.

    Args:
        task: Grid and queries.
        known: Results computed so far.
    """
    cells = []
    for rate in task.grid.keep_rates:
        result = known.get(task.pass_of(rate))
        if result is None or not result.known.any():
            continue
        flops = encoder_flops(task.retriever.model.config, task.settings.with_keep_rate(rate).prune)
        for alpha, neighbors in product(task.grid.alphas, task.grid.neighbors):
            scores = result.scores(task.point_index(alpha, neighbors))
            first = scores.first_match + 1
            mean, median = float(first.mean()), float(np.median(first))
            cells.append(
                SweepCell(rate, alpha, neighbors, scores.rank1, scores.mean_ap, mean, median, flops, len(first))
            )
    return cells


def best_cell(
    cells: Sequence[SweepCell], goodness: Callable[[SweepCell], float] = lambda cell: cell.mean_ap
) -> SweepCell:
    """Return the best cell of those with the most completed queries; ties go to mAP, Rank-1 and low FLOPs, in turn.

    Args:
        cells: Cells to choose from.
        goodness: Score that decides, higher is better; mAP by default.

    Raises:
        ValueError: There are no cells.
    """
    complete = max(cell.queries for cell in cells)
    return max(
        (cell for cell in cells if cell.queries == complete),
        key=lambda cell: (goodness(cell), cell.mean_ap, cell.rank1, -cell.flops.without_attention_products),
    )


def sweep_table(task: SweepTask, known: Known) -> pd.DataFrame:
    """Return a table with one row per cell.

    Args:
        task: Grid and queries.
        known: Results computed so far.

    Returns:
        Table with scores in percent and FLOPs in G multiply-adds.
    """
    return pd.DataFrame(
        [
            {
                "keep rate": cell.keep_rate,
                "alpha": cell.alpha,
                "K": cell.neighbors,
                "Rank-1": 100 * cell.rank1,
                "mAP": 100 * cell.mean_ap,
                "mean rank of first true match": cell.first_match_mean,
                "median rank of first true match": cell.first_match_median,
                "FLOPs (G)": cell.flops.without_attention_products / 1e9,
                "FLOPs with attention products (G)": cell.flops.with_attention_products / 1e9,
                "queries": cell.queries,
                "protocol": task.dataset.protocol.value,
            }
            for cell in sweep_cells(task, known)
        ]
    )


def format_sweep(task: SweepTask, known: Known) -> str:
    """Format Rank-1 and mAP in percent as text, with one table per K, one row per alpha and one column per keep rate.

    Args:
        task: Grid and queries.
        known: Results computed so far.

    Raises:
        ValueError: No query is computed yet.
    """
    cells = sweep_cells(task, known)
    by_setting = {(cell.keep_rate, cell.alpha, cell.neighbors): cell for cell in cells}
    rates = list(dict.fromkeys(cell.keep_rate for cell in cells))
    best = best_cell(cells)
    lines = [f"Rank-1 / mAP of {best.queries} queries; {task.skipped} without a true match are left out"]
    for neighbors in task.grid.neighbors:
        lines += ["", f"K = {neighbors:<4} " + "".join(f"{f'keep {rate:g}':>14}" for rate in rates)]
        for alpha in task.grid.alphas:
            row = (by_setting[rate, alpha, neighbors] for rate in rates)
            lines.append(
                f"alpha {alpha:<4g}" + "".join(f"{100 * cell.rank1:>7.1f} /{100 * cell.mean_ap:>5.1f}" for cell in row)
            )
    flops = {cell.keep_rate: cell.flops.without_attention_products / 1e9 for cell in cells}
    return "\n".join(
        [
            *lines,
            "",
            f"{'FLOPs (G)':10}" + "".join(f"{flops[rate]:>14.2f}" for rate in rates),
            f"best mAP: {100 * best.mean_ap:.1f} (Rank-1 {100 * best.rank1:.1f}) at keep rate {best.keep_rate:g}, "
            f"alpha {best.alpha:g}, K = {best.neighbors}; the first true match has rank {best.first_match_mean:.2f} on "
            f"average, {best.first_match_median:g} in the median",
            *protocol_notes(task.dataset),
        ]
    )
