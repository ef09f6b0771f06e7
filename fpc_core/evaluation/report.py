"""What `python -m fpc_core evaluate` prints. The paper's figures stand beside ours, always named as the paper's."""

from __future__ import annotations

from collections.abc import Sequence

from fpc_core.config import DropStrategy
from fpc_core.evaluation.dropping import StrategyScores
from fpc_core.evaluation.protocol import StageScores
from fpc_core.evaluation.tables import TABLE_4, TABLE_5
from fpc_core.explain.masks import Shares
from fpc_core.results import Scores

_PAPERS = "the paper's: its own figures, ViT-B on Occluded-Duke"


def scores_text(rows: Sequence[tuple[str, Scores]]) -> str:
    """CMC at 1, 5, 10 and mAP in percent, one line per row."""
    lines = [f"{'':18}{_HEAD}", *(f"{label:18}{_percent(scores)}" for label, scores in rows)]
    return "\n".join([*lines, *_left_out(rows[0][1])])


def table_4_text(rows: Sequence[StageScores]) -> str:
    """Our four rows beside the paper's Rank-1 and mAP."""
    paper = zip(TABLE_4.column("Rank-1"), TABLE_4.column("mAP"), strict=True)
    lines = [
        f"Table 4, components: S sparse encoder, M matching by D, C consolidation ({_PAPERS})",
        f"{'':18}{_HEAD}     the paper's Rank-1     mAP",
        *(
            f"{row.label:18}{_percent(row.scores)}     {rank_1:18.1f}  {mean_ap:6.1f}"
            for row, (rank_1, mean_ap) in zip(rows, paper, strict=True)
        ),
    ]
    return "\n".join([*lines, *_left_out(rows[0].scores)])


def table_5_text(cells: Sequence[StrategyScores]) -> str:
    """Rank-1 / mAP of every strategy, one line ours and one the paper's."""
    rates = list(dict.fromkeys(cell.keep_rate for cell in cells))
    published = {(name, rate): f"{rank_1:.1f} / {mean_ap:.1f}" for name, rate, rank_1, mean_ap in TABLE_5.rows}
    ours = {(cell.strategy, cell.keep_rate): cell.scores for cell in cells}
    lines = [
        f"Table 5, drop strategies, S+M+C, Rank-1 / mAP ({_PAPERS})",
        f"{'keep rate':18}" + "".join(f"{rate:>13}" for rate in rates),
    ]
    for strategy in DropStrategy:
        found = (f"{100 * ours[strategy, rate].rank1:.1f} / {100 * ours[strategy, rate].mean_ap:.1f}" for rate in rates)
        lines.append(f"{_name(strategy):18}" + "".join(f"{each:>13}" for each in found))
        lines.append(
            f"{'  the paper' + chr(39) + 's':18}"
            + "".join(f"{published.get((strategy.value, rate), '-'):>13}" for rate in rates)
        )
    return "\n".join(lines)


def drop_shares_text(cells: Sequence[StrategyScores], keep_rate: float) -> str:
    """What each strategy dropped at each block at `keep_rate`, beside all that entered it."""
    lines = [
        f"What the dropped patches show at keep rate {keep_rate}: percent of their area, by the true masks",
        f"{'':14}block  dropped    person  occluder  background    (all that entered: person  occluder  background)",
    ]
    for cell in cells:
        for block in cell.shares if cell.keep_rate == keep_rate else ():
            lines.append(
                f"{_name(cell.strategy):14}{block.block:>5}  {f'{block.dropped}/{block.entered}':>7}    "
                f"{_areas(block.of_dropped)}    {'':20}{_areas(block.of_entered)}"
            )
    lines.append("Dropping as many of the same patches at random gives, on average, the shares of all that entered.")
    return "\n".join(lines)


_HEAD = "  Rank-1  Rank-5  Rank-10     mAP"


def _percent(scores: Scores) -> str:
    ranks = "  ".join(f"{100 * scores.cmc[min(rank, len(scores.cmc)) - 1]:6.1f}" for rank in (1, 5))
    return f"  {ranks}  {100 * scores.cmc[min(10, len(scores.cmc)) - 1]:7.1f}  {100 * scores.mean_ap:6.1f}"


def _left_out(scores: Scores) -> list[str]:
    return [f"{scores.skipped} queries without a true match are left out"] if scores.skipped else []


def _areas(shares: Shares) -> str:
    return f"{100 * shares.person:6.1f}  {100 * shares.occluder:8.1f}  {100 * shares.background:10.1f}"


def _name(strategy: DropStrategy) -> str:
    return strategy.value.replace("_", "-")
