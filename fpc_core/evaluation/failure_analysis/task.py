"""Turn the stored results of a run into classified queries and pairs, without searching again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from fpc_core.config import QuerySettings
from fpc_core.data.datasets import Dataset, ImageRecord
from fpc_core.data.ground_truth import Occlusion
from fpc_core.evaluation.engine.passes import Known, Part, Pass, PassTask, Point
from fpc_core.evaluation.engine.protocol import feature_distance, nothing_to
from fpc_core.evaluation.failure_analysis.cases import Answer, QueryOutcome, Stage, survived_share
from fpc_core.evaluation.metrics.retrieval import evaluate, junk_mask, match_mask
from fpc_core.explain.patch_contents import patch_areas
from fpc_core.matching.ranking import combined_distance
from fpc_core.retrieval import Retriever

BATCH = 64  # Number of queries that are compared with the gallery at a time.
# This is added to D_cos of images outside the shortlist, to rank them last; D and D_cos are at most 2.
NOT_RANKED = 4.0


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of a query and a shortlisted image that is not junk, with their distance at each stage.

    Attributes:
        same: (n,) bool, whether the two images show the same person.
        distance: (n,) float64 distances of the pairs at each stage.
    """

    same: np.ndarray
    distance: Mapping[Stage, np.ndarray]

    @classmethod
    def concatenate(cls, several: list[Pairs]) -> Pairs:
        """Concatenate pairs in order."""
        return cls(
            np.concatenate([np.empty(0, bool), *(each.same for each in several)]),
            {stage: np.concatenate([np.empty(0), *(each.distance[stage] for each in several)]) for stage in Stage},
        )


@dataclass(frozen=True, eq=False)
class AtlasTask:
    """Classification of all queries with a true match, from a run whose results equal those of single searches.

    The random strategy uses one sample for all queries, as `Retriever.search` does, so that the results agree with the
    Explore page.

    Attributes:
        retriever: Model and gallery memory.
        dataset: Dataset with the queries.
        settings: Settings of the searches.
        masks: Ground-truth masks by image path (`fpc_core.data.ground_truth`); empty if the data have none.
        occlusions: Occlusions by image path (`fpc_core.data.ground_truth`); empty if the data have none.

    Raises:
        ValueError: No query has a true match.
    """

    retriever: Retriever
    dataset: Dataset
    settings: QuerySettings
    masks: Mapping[Path, np.ndarray] = field(default_factory=dict)
    occlusions: Mapping[Path, Occlusion] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.queries:
            raise ValueError(nothing_to("classify", self.dataset))

    @cached_property
    def eval_pass(self) -> Pass:
        """The pass whose results are classified."""
        point = Point(self.settings.alpha, self.settings.neighbors)
        return Pass(replace(self.settings, alpha=0.0, neighbors=1), (point,), matched=True)

    @cached_property
    def work(self) -> PassTask:
        """The task that computes the pass."""
        return PassTask(self.retriever, self.dataset, self.dataset.query, (self.eval_pass,)).with_true_matches()

    @property
    def queries(self) -> tuple[ImageRecord, ...]:
        """The queries with a true match, in the order of the results."""
        return self.work.queries

    @property
    def skipped(self) -> int:
        """Number of queries without a true match."""
        return len(self.dataset.query) - len(self.queries)

    def cases_with_pairs(self, known: Known) -> list[tuple[QueryOutcome, Pairs]]:
        """Return outcome and pairs of each query computed so far, in the order of the dataset, and cache them."""
        result = known.get(self.eval_pass)
        if result is None:
            return []
        rows = np.flatnonzero(result.known)
        fresh = np.array([row for row in rows.tolist() if row not in self._cached], np.int64)
        (point,) = self.eval_pass.points
        for start in range(0, len(fresh), BATCH):
            batch = fresh[start : start + BATCH]
            parts = {part: result.features[part][batch] for part in Part}
            cosine = 1.0 - _unit(parts[Part.CLS]) @ self.retriever.memory.unit_cls.T
            final = feature_distance(result.features[point][batch], self.retriever.memory.unit_features)
            for index, row in enumerate(batch.tolist()):
                own = {part: values[index] for part, values in parts.items()}
                self._cached[row] = self._case(self.queries[row], own, cosine[index], final[index])
        return [self._cached[row] for row in rows.tolist()]

    @cached_property
    def _cached(self) -> dict[int, tuple[QueryOutcome, Pairs]]:
        return {}

    def _case(
        self, record: ImageRecord, parts: Mapping[Part, np.ndarray], d_cos_all: np.ndarray, final: np.ndarray
    ) -> tuple[QueryOutcome, Pairs]:
        """Return the outcome and the pairs of one query.

        Args:
            record: Record of the query.
            parts: Stored values of the query.
            d_cos_all: (G,) D_cos to every gallery image.
            final: (G,) distances after consolidation.
        """
        identities, cameras = self.work.gallery
        camera = record.camera if cameras is not None else None
        own = self.work.own_row(record)
        match = match_mask(record.identity, identities, camera, cameras, own)
        junk = junk_mask(record.identity, identities, camera, cameras, own)
        rows, d_cos = parts[Part.SHORTLIST].astype(np.int64), parts[Part.D_COS]
        d = combined_distance(d_cos, parts[Part.D_EMD], self.settings.alpha)
        by_cosine = d_cos_all.astype(np.float64)
        by_cosine[rows] = d_cos
        by_distance = NOT_RANKED + by_cosine
        by_distance[rows] = d
        distances = np.stack([by_cosine, by_distance, final])
        scores = evaluate(
            distances,
            np.full(len(distances), record.identity),
            identities,
            None if cameras is None else np.full(len(distances), record.camera),
            cameras,
            own_rows=np.full(len(distances), own),
        )
        cosine, by_d, consolidated = (
            _answer(distance, match, junk, float(precision), int(first))
            for distance, precision, first in zip(distances, scores.average_precision, scores.first_match, strict=True)
        )
        occlusion = self.occlusions.get(record.path)
        case = QueryOutcome(
            record.path,
            record.identity,
            record.camera,
            cosine,
            by_d,
            consolidated,
            survived=self._survived(record, parts[Part.PATCHES]),
            occluder=occlusion.kind if occlusion else "",
            visible=occlusion.visible if occlusion else None,
        )
        pairs = rows[~junk[rows]]
        shared = {stage: distance[pairs] for stage, distance in zip(Stage, distances, strict=True)}
        return case, Pairs(match[pairs], shared)

    def _survived(self, record: ImageRecord, patches: np.ndarray) -> float | None:
        mask = self.masks.get(record.path)
        if mask is None:
            return None
        person, _ = patch_areas(mask, self.retriever.model.config)
        return survived_share(person, patches.reshape(person.shape) > 0)


def _answer(distance: np.ndarray, match: np.ndarray, junk: np.ndarray, precision: float, first: int) -> Answer:
    """Return the result of one stage for a query.

    Args:
        distance: (G,) distances; at least NOT_RANKED for images that the stage does not rank.
        match: (G,) bool, which images are true matches.
        junk: (G,) bool, which images are junk.
        precision: Average precision.
        first: 0-based rank of the first true match.
    """
    hit = int(np.argmin(np.where(junk, np.inf, distance)))
    right_hit = int(np.argmin(np.where(match, distance, np.inf)))
    return Answer(precision, first + 1, hit, right_hit, _nearest(distance[match]), _nearest(distance[~match & ~junk]))


def _nearest(distance: np.ndarray) -> float | None:
    nearest = float(distance.min(initial=np.inf))
    return nearest if nearest < NOT_RANKED - 1 else None


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
