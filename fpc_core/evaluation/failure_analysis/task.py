"""From a run's results to the cases and pairs of an atlas: no search happens here, every number was kept by the run."""

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
from fpc_core.evaluation.engine.protocol import feature_distance
from fpc_core.evaluation.failure_analysis.cases import Answer, QueryOutcome, Stage, survived_share
from fpc_core.evaluation.metrics.retrieval import evaluate, junk_mask, match_mask
from fpc_core.explain.masks import patch_areas
from fpc_core.matching.ranking import combined_distance
from fpc_core.retrieval import Retriever

BATCH = 64  # queries compared with the gallery at once
NOT_RANKED = 4.0  # added to D_cos beyond the shortlist, which ranks it behind every D: neither is more than 2


@dataclass(frozen=True, eq=False)
class Pairs:
    """A query with every image of its shortlist that is no junk: n pairs, the same ones for all three distances.

    same: (n,) bool, the pair shows one person.  distance: (n,) float64 by stage.
    """

    same: np.ndarray
    distance: Mapping[Stage, np.ndarray]

    @classmethod
    def joined(cls, several: list[Pairs]) -> Pairs:
        """All of them in one, in order."""
        return cls(
            np.concatenate([np.empty(0, bool), *(each.same for each in several)]),
            {stage: np.concatenate([np.empty(0), *(each.distance[stage] for each in several)]) for stage in Stage},
        )


@dataclass(frozen=True, eq=False)
class AtlasTask:
    """What is asked: all queries with a true match under these settings, each as a search of it by itself gives.

    masks, occlusions: of `fpc_core.data.ground_truth`, empty for data without. A random strategy draws as
    `Retriever.search` does, one draw for all queries, so that every case is what Explore shows of it.
    Raises ValueError where no query has a true match.
    """

    retriever: Retriever
    dataset: Dataset
    settings: QuerySettings
    masks: Mapping[Path, np.ndarray] = field(default_factory=dict)
    occlusions: Mapping[Path, Occlusion] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.queries:
            raise ValueError("none of the queries has a true match in the gallery, so there is nothing to sort")

    @cached_property
    def asked(self) -> Pass:
        """The one pass that the atlas is read from."""
        point = Point(self.settings.alpha, self.settings.neighbors)
        return Pass(replace(self.settings, alpha=0.0, neighbors=1), (point,), matched=True)

    @cached_property
    def work(self) -> PassTask:
        """What a run computes."""
        return PassTask(self.retriever, self.dataset, self.dataset.query, (self.asked,)).with_true_matches()

    @property
    def queries(self) -> tuple[ImageRecord, ...]:
        """The queries that have a true match, in the order of the cases."""
        return self.work.queries

    @property
    def skipped(self) -> int:
        """Queries without a true match, left out."""
        return len(self.dataset.query) - len(self.queries)

    def cases_with_pairs(self, known: Known) -> list[tuple[QueryOutcome, Pairs]]:
        """Cases and pairs of the queries known, in the order of the dataset. Each is worked out once and kept."""
        result = known.get(self.asked)
        if result is None:
            return []
        rows = np.flatnonzero(result.known)
        fresh = np.array([row for row in rows.tolist() if row not in self._told], np.int64)
        (point,) = self.asked.points
        for start in range(0, len(fresh), BATCH):
            batch = fresh[start : start + BATCH]
            parts = {part: result.features[part][batch] for part in Part}
            cosine = 1.0 - _unit(parts[Part.CLS]) @ self.retriever.memory.unit_cls.T
            final = feature_distance(result.features[point][batch], self.retriever.memory.unit_features)
            for place, row in enumerate(batch.tolist()):
                own = {part: values[place] for part, values in parts.items()}
                self._told[row] = self._case(self.queries[row], own, cosine[place], final[place])
        return [self._told[row] for row in rows.tolist()]

    @cached_property
    def _told(self) -> dict[int, tuple[QueryOutcome, Pairs]]:
        return {}

    def _case(
        self, record: ImageRecord, parts: Mapping[Part, np.ndarray], d_cos_all: np.ndarray, final: np.ndarray
    ) -> tuple[QueryOutcome, Pairs]:
        """d_cos_all, final: (G,) distances to the gallery."""
        identities, cameras = self.work.gallery
        camera = record.camera if cameras is not None else None
        match = match_mask(record.identity, identities, camera, cameras)
        junk = junk_mask(record.identity, identities, camera, cameras)
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
        )
        cosine, by_d, consolidated = (
            _answer(distance, match, junk, float(precision), int(first))
            for distance, precision, first in zip(distances, scores.average_precision, scores.first_match, strict=True)
        )
        seen = self.occlusions.get(record.path)
        case = QueryOutcome(
            record.path,
            record.identity,
            record.camera,
            cosine,
            by_d,
            consolidated,
            survived=self._survived(record, parts[Part.PATCHES]),
            occluder=seen.kind if seen else "",
            visible=seen.visible if seen else None,
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
    """distance: (G,), BEYOND and more where the stage has none; equal ones rank in gallery order, as in `evaluate`."""
    hit = int(np.argmin(np.where(junk, np.inf, distance)))
    return Answer(precision, first + 1, hit, _nearest(distance[match]), _nearest(distance[~match & ~junk]))


def _nearest(distance: np.ndarray) -> float | None:
    nearest = float(distance.min(initial=np.inf))
    return nearest if nearest < NOT_RANKED - 1 else None


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
