"""Sweeps: keep rate x alpha x K over the queries of a dataset, every cell what `evaluate` says of its settings.

What cells share is computed once: the encoder's state before the first drop serves all keep rates, the transport of a
keep rate serves all alphas and Ks, and a neighbour set met in several cells is decoded and scored once.

A run is a generator. Whoever stops iterating cancels it, and with a `SweepStore` the next run goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from fpc_core.config import KEEP_RATES, ModelConfig, QuerySettings
from fpc_core.data.datasets import Dataset, ImageRecord
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.evaluation.metrics import evaluate, match_mask, summarise
from fpc_core.evaluation.protocol import feature_distance
from fpc_core.results import EncoderState, Encoding, Scores
from fpc_core.retrieval import Retriever

BATCH = 16  # queries encoded together, as in the protocol
STATE_BYTES = 256 << 20  # encoder states held while all keep rates pass over them


@dataclass(frozen=True)
class SweepGrid:
    """The three axes, each ascending or descending without repeats."""

    keep_rates: tuple[float, ...] = KEEP_RATES
    alphas: tuple[float, ...] = tuple(round(0.1 * step, 1) for step in range(11))
    neighbors: tuple[int, ...] = (1, 5, 10, 20)

    def __post_init__(self) -> None:
        for name in ("keep_rates", "alphas", "neighbors"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise ValueError(f"a sweep needs at least one value on every axis and none twice; {name} is {values}")

    @property
    def cells(self) -> int:
        return len(self.keep_rates) * len(self.alphas) * len(self.neighbors)


@dataclass(frozen=True, eq=False)
class SweepColumn:
    """One keep rate: what is known so far of Q queries at A alphas and K neighbour counts.

    average_precision: (Q, A, K) float64, NaN where not known yet.  first_match: (Q, A, K) int64, 0-based rank of the
    first true match, -1 where not known yet.
    """

    average_precision: np.ndarray
    first_match: np.ndarray

    def __post_init__(self) -> None:
        if self.average_precision.shape != self.first_match.shape or self.first_match.ndim != 3:
            raise ValueError("a column needs one first match per average precision, (queries, alphas, Ks)")

    @classmethod
    def empty(cls, queries: int, grid: SweepGrid) -> SweepColumn:
        shape = (queries, len(grid.alphas), len(grid.neighbors))
        return cls(np.full(shape, np.nan), np.full(shape, -1))

    @property
    def known(self) -> np.ndarray:
        """(Q,) bool"""
        return self.first_match[:, 0, 0] >= 0

    @property
    def complete(self) -> bool:
        return bool(self.known.all())

    def with_query(self, row: int, average_precision: np.ndarray, first_match: np.ndarray) -> SweepColumn:
        """A copy in which query `row` is known: (A, K) each."""
        precision, first = self.average_precision.copy(), self.first_match.copy()
        precision[row], first[row] = average_precision, first_match
        return SweepColumn(precision, first)

    def scores(self, alpha: int, neighbors: int, ranks: int = 50) -> Scores:
        """Scores of one cell over the queries known, at places `alpha` and `neighbors` of the axes.

        Raises ValueError where no query is known yet.
        """
        rows = self.known
        return summarise(
            self.average_precision[rows, alpha, neighbors], self.first_match[rows, alpha, neighbors], ranks
        )


@dataclass(frozen=True, eq=False)
class SweepTask:
    """What is asked. Of `settings` the grid replaces keep rate, alpha and K; all else holds for every cell.

    Raises ValueError for settings the grid cannot have, and where no query has a true match.
    """

    retriever: Retriever
    dataset: Dataset
    grid: SweepGrid
    settings: QuerySettings

    def __post_init__(self) -> None:
        for keep_rate in self.grid.keep_rates:
            for alpha in self.grid.alphas:
                for neighbors in self.grid.neighbors:
                    self.settings_of(keep_rate, alpha, neighbors)
        if not self.queries:
            raise ValueError("none of the queries has a true match in the gallery, so there is nothing to score")

    def settings_of(self, keep_rate: float, alpha: float, neighbors: int) -> QuerySettings:
        return replace(self.settings.with_keep_rate(keep_rate), alpha=alpha, neighbors=neighbors)

    @cached_property
    def queries(self) -> tuple[ImageRecord, ...]:
        """The queries with a true match; the protocol leaves the others out of every mean."""
        identities, cameras = self.gallery
        return tuple(
            record
            for record in self.dataset.query
            if match_mask(record.identity, identities, self._camera(record), cameras).any()
        )

    @property
    def skipped(self) -> int:
        return len(self.dataset.query) - len(self.queries)

    @cached_property
    def gallery(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Identities (G,) and cameras (G,), None for a dataset without."""
        records = self.dataset.gallery
        cameras = np.array([record.camera for record in records]) if self.dataset.uses_cameras else None
        return np.array([record.identity for record in records]), cameras

    def score(self, features: np.ndarray, record: ImageRecord) -> Scores:
        """Scores of B features (B, C) of the same query, one row each."""
        identities, cameras = self.gallery
        return evaluate(
            feature_distance(features, self.retriever.memory.unit_features),
            np.full(len(features), record.identity),
            identities,
            None if cameras is None else np.full(len(features), record.camera),
            cameras,
        )

    def _camera(self, record: ImageRecord) -> int | None:
        return record.camera if self.dataset.uses_cameras else None


Save = Callable[[SweepTask, float, SweepColumn], None]


def run_sweep(
    task: SweepTask, known: Mapping[float, SweepColumn] | None = None, save: Save | None = None
) -> Generator[tuple[float, SweepColumn], None, None]:
    """Compute what `known` lacks, keep rate after keep rate. Yields a keep rate and its column whenever one query more
    is known.

    save: called after every batch, and where the caller stops iterating (see `SweepStore.save`). Large query sets pass
    in several rounds, each over all keep rates, so that the encoder states held stay within STATE_BYTES.
    """
    columns = {rate: SweepColumn.empty(len(task.queries), task.grid) for rate in task.grid.keep_rates}
    columns |= known or {}
    size = _round_size(task.retriever.model.config)
    for first in range(0, len(task.queries), size):
        batches = [
            range(start, min(start + BATCH, first + size, len(task.queries)))
            for start in range(first, min(first + size, len(task.queries)), BATCH)
        ]
        states: dict[range, EncoderState] = {}
        for rate in task.grid.keep_rates:
            for batch in batches:
                missing = [row for row in batch if not columns[rate].known[row]]
                if not missing:
                    continue
                if batch not in states:
                    states[batch] = _prepare(task, batch)
                # The whole batch is encoded even if a stop left half of it: another batch may round differently.
                encodings = task.retriever.encode(states[batch], task.settings.with_keep_rate(rate).prune)
                try:
                    for row in missing:
                        place = row - batch.start
                        results = _score_cells(task, task.queries[row], encodings[place : place + 1])
                        columns[rate] = columns[rate].with_query(row, *results)
                        yield rate, columns[rate]
                finally:
                    if save is not None:
                        save(task, rate, columns[rate])


def _score_cells(task: SweepTask, record: ImageRecord, encoding: Encoding) -> tuple[np.ndarray, np.ndarray]:
    """AP and first match (A, K) of one query: every neighbour set is decoded and scored once."""
    match = task.retriever.match(encoding, task.settings)
    place_of: dict[bytes, int] = {}
    sets: list[np.ndarray] = []
    cell_set = np.empty((len(task.grid.alphas), len(task.grid.neighbors)), dtype=np.int64)
    for a, alpha in enumerate(task.grid.alphas):
        ranked = task.retriever.by_distance(match, alpha).indices
        for k, count in enumerate(task.grid.neighbors):
            members = np.sort(ranked[:count])
            place = place_of.setdefault(members.tobytes(), len(sets))
            if place == len(sets):
                sets.append(members)
            cell_set[a, k] = place
    features = task.retriever.consolidate_sets(encoding, sets, task.settings.variant)
    scores = task.score(features, record)
    return scores.average_precision[cell_set], scores.first_match[cell_set]


def _prepare(task: SweepTask, batch: range) -> EncoderState:
    """The encoder's state of some queries before the first drop."""
    config, records = task.retriever.model.config, [task.queries[row] for row in batch]
    images = to_tensor([resize_image(task.dataset.read(record), config.image_size) for record in records], config)
    cameras = torch.tensor([record.camera for record in records]) if task.dataset.uses_cameras else None
    return task.retriever.prepare(images, cameras, task.settings.prune.blocks[0])


def _round_size(config: ModelConfig) -> int:
    """Queries whose states fit into STATE_BYTES, in whole batches."""
    state = 4 * (1 + config.patches) * (1 + config.width)
    return max(1, STATE_BYTES // state // BATCH) * BATCH
