"""Measure how much of the person, the occluder and the background each drop strategy discards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fpc_core.config import MODEL_STRATEGIES, DropStrategy, PruneSettings
from fpc_core.data.datasets import Dataset
from fpc_core.evaluation.engine.passes import resampled_per_query
from fpc_core.evaluation.engine.protocol import BATCH, encoder_state
from fpc_core.explain.patch_contents import DropShares, Shares, drop_shares, patch_areas
from fpc_core.retrieval import Retriever

Dropped = Mapping[DropStrategy, tuple[DropShares, ...]]


def dropped_by_strategy(
    retriever: Retriever,
    dataset: Dataset,
    prune: PruneSettings,
    masks: Mapping[Path, np.ndarray],
    progress: Callable[[int, int], None] | None = None,
) -> Dropped:
    """Measure what each strategy drops at every dropping block, averaged over queries with a ground-truth mask.

    The random strategy is sampled for each query, as in Table 5.

    Args:
        retriever: Model and gallery memory.
        dataset: Dataset with the queries.
        prune: Keep rate, blocks and seed; the strategy is ignored.
        masks: Ground-truth masks of some or all queries by image path (`data.ground_truth.true_masks`).
        progress: Function that is called with the number of queries done and their total.

    Returns:
        Shares of person, occluder and background for each strategy, one entry per dropping block.
    """
    records = [record for record in dataset.query if record.path in masks]
    shares_by_strategy: dict[DropStrategy, list[tuple[DropShares, ...]]] = {each: [] for each in MODEL_STRATEGIES}
    for start in range(0, len(records), BATCH):
        batch = records[start : start + BATCH]
        states = encoder_state(retriever, dataset, batch, prune.blocks[0])
        for row, record in enumerate(batch):
            areas = patch_areas(masks[record.path], retriever.model.config)
            for strategy, shares in shares_by_strategy.items():
                chosen = resampled_per_query(replace(prune.of_model, strategy=strategy), record)
                shares.append(drop_shares(retriever.encode(states[row : row + 1], chosen), *areas))
        if progress:
            progress(start + len(batch), len(records))
    return {strategy: average_shares(shares) for strategy, shares in shares_by_strategy.items()}


def average_shares(images: Sequence[tuple[DropShares, ...]]) -> tuple[DropShares, ...]:
    """Average the shares over images, block by block.

    All images lose equally many patches, so this is also the mean over patches.
    """
    return tuple(
        replace(
            block[0],
            of_entered=_mean([each.of_entered for each in block]),
            of_dropped=_mean([each.of_dropped for each in block]),
        )
        for block in zip(*images, strict=True)
    )


def dropped_text(dropped: Dropped, keep_rate: float) -> str:
    """Format what each strategy dropped at each block, next to everything that entered the block.

    Args:
        dropped: Result of `dropped_by_strategy`.
        keep_rate: Keep rate to name in the heading.
    """
    lines = [
        f"What the dropped patches show at keep rate {keep_rate:g}: percent of their area, by the ground-truth masks",
        f"{'':14}block  dropped    person  occluder  background    (all that entered: person  occluder  background)",
    ]
    for strategy, blocks in dropped.items():
        for block in blocks:
            lines.append(
                f"{strategy.value.replace('_', '-'):14}{block.block:>5}  {f'{block.dropped}/{block.entered}':>7}    "
                f"{_areas(block.of_dropped)}    {'':20}{_areas(block.of_entered)}"
            )
    lines.append("On average, dropping the same number of patches at random would give the shares of all that entered.")
    return "\n".join(lines)


def _areas(shares: Shares) -> str:
    return f"{100 * shares.person:6.1f}  {100 * shares.occluder:8.1f}  {100 * shares.background:10.1f}"


def _mean(shares: Sequence[Shares]) -> Shares:
    return Shares(*np.mean([(each.person, each.occluder, each.background) for each in shares], axis=0).tolist())
