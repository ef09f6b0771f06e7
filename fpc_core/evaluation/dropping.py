"""Drop strategies over keep rates (Table 5), and what the dropped patches show where true masks are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fpc_core.config import KEEP_RATES, DropStrategy, PruneSettings, QuerySettings
from fpc_core.data.datasets import Dataset
from fpc_core.evaluation.protocol import Progress, query_states, score_features
from fpc_core.explain.masks import DropShares, Shares, drop_shares, patch_areas
from fpc_core.results import EncoderState, Scores
from fpc_core.retrieval import Retriever


@dataclass(frozen=True)
class StrategyScores:
    """One cell of Table 5: S+M+C with the queries pruned this way; the gallery is never pruned.

    shares: one per dropping block, means over the queries with a true mask; empty where there are none.
    """

    strategy: DropStrategy
    keep_rate: float
    scores: Scores
    shares: tuple[DropShares, ...] = ()


def drop_strategies(
    retriever: Retriever,
    dataset: Dataset,
    settings: QuerySettings,
    masks: Mapping[Path, np.ndarray] | None = None,
    *,
    keep_rates: Sequence[float] = KEEP_RATES,
    progress: Progress | None = None,
) -> list[StrategyScores]:
    """Table 5: every strategy at every keep rate, strategies outermost.

    A query is encoded up to its first drop once; a cell then costs the rest of the encoding, one matching and one
    consolidation. At keep rate 1 the strategies are one. Random dropping draws anew for every query, from the settings'
    seed plus its place. masks: true masks by image path, of some queries or all.
    """
    cells = {_cell(strategy, rate): None for strategy in DropStrategy for rate in keep_rates}
    features: dict[tuple[DropStrategy, float], list[np.ndarray]] = {cell: [] for cell in cells}
    shares: dict[tuple[DropStrategy, float], list[tuple[DropShares, ...]]] = {cell: [] for cell in cells}
    done = 0
    for states in query_states(retriever, dataset, settings.prune.blocks[0]):
        for row in range(len(states.tokens)):
            mask = (masks or {}).get(dataset.query[done].path)
            areas = None if mask is None else patch_areas(mask, retriever.model.config)
            for strategy, rate in cells:
                prune = replace(
                    settings.prune, strategy=strategy, keep_rate=rate, seed=settings.prune.seed + done
                )  # fmt: skip
                feature, dropped = _searched(retriever, states[row : row + 1], prune, settings, areas)
                features[strategy, rate].append(feature)
                if dropped:
                    shares[strategy, rate].append(dropped)
            done += 1
            if progress:
                progress(done, len(dataset.query))
    scores = {cell: score_features(np.stack(rows), retriever, dataset) for cell, rows in features.items()}
    found = {cell: average_shares(rows) for cell, rows in shares.items()}
    return [
        StrategyScores(strategy, rate, scores[_cell(strategy, rate)], found[_cell(strategy, rate)])
        for strategy in DropStrategy
        for rate in keep_rates
    ]


def average_shares(images: Sequence[tuple[DropShares, ...]]) -> tuple[DropShares, ...]:
    """Means over images, block by block. All images lose as many patches, so these are means over patches as well."""
    return tuple(
        replace(
            block[0],
            of_entered=_mean([each.of_entered for each in block]),
            of_dropped=_mean([each.of_dropped for each in block]),
        )
        for block in zip(*images, strict=True)
    )


def _searched(
    retriever: Retriever,
    state: EncoderState,
    prune: PruneSettings,
    settings: QuerySettings,
    areas: tuple[np.ndarray, np.ndarray] | None,
) -> tuple[np.ndarray, tuple[DropShares, ...]]:
    """The consolidated feature (C,) of one query pruned by `prune`, and on what its drops lay."""
    encoding = retriever.encode(state, prune)
    neighbors = retriever.by_distance(retriever.match(encoding, settings), settings.alpha).indices
    feature = retriever.consolidate(encoding, neighbors[: settings.neighbors], settings.variant).feature
    return feature, drop_shares(encoding, *areas) if areas else ()


def _cell(strategy: DropStrategy, keep_rate: float) -> tuple[DropStrategy, float]:
    return (DropStrategy.NON_SALIENT if keep_rate == 1.0 else strategy), keep_rate


def _mean(shares: Sequence[Shares]) -> Shares:
    return Shares(*np.mean([(each.person, each.occluder, each.background) for each in shares], axis=0).tolist())
