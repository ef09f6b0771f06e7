"""Passes over the queries, from which sweeps and tables are computed, and their results.

A pass encodes and matches the queries with one setting of pruning. Its points reuse these encodings and transports:
they score each alpha, each K and the encoder's own feature. `runner.py` computes passes, `result_store.py` stores them.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np

from fpc_core.config import MAX_SEED, DropStrategy, PruneSettings, QuerySettings
from fpc_core.data.datasets import Dataset, ImageRecord
from fpc_core.evaluation.engine.protocol import cameras_of, feature_distance, identities_of
from fpc_core.evaluation.metrics.retrieval import evaluate, match_mask, summarise
from fpc_core.results import Scores
from fpc_core.retrieval import Retriever

UNKNOWN = -2  # Marks a first match that is not computed yet; -1 marks a query without a true match.


class PostProcessing(StrEnum):
    """How the features of all queries are processed once they are complete."""

    NOTHING = ""
    RE_RANKED = "re-ranked"  # Applies k-reciprocal re-ranking.
    PRUNED_GALLERY = "pruned gallery"  # Compares the features with a gallery that is pruned like the queries.


class Part(StrEnum):
    """Data stored for each query besides features, as float32 numbers: everything by which its shortlist was ranked.

    Rows of the gallery memory are integers below 2**24, which float32 represents exactly.
    """

    CLS = "[cls]"  # C numbers: the token that D_cos compares.
    SHORTLIST = "shortlist"  # S numbers: rows of the gallery memory, nearest by D_cos first.
    D_COS = "D_cos"  # S numbers.
    D_EMD = "D_EMD"  # S numbers.
    PATCHES = "patches"  # N numbers: 1 where the patch survives the last dropping block, else 0.


@dataclass(frozen=True)
class Point:
    """One feature of a pass that is scored: the feature consolidated from the K nearest images by D at alpha.

    Attributes:
        alpha: Weight of D_EMD in D.
        neighbors: K, or 0 for the encoder's own feature, without matching and consolidation.
        then: How the features of all queries are processed.
    """

    alpha: float = 0.0
    neighbors: int = 0
    then: PostProcessing = PostProcessing.NOTHING

    def __post_init__(self) -> None:
        if self.neighbors == 0 and self.alpha != 0:
            raise ValueError(f"alpha must be 0 if neighbors is 0 (no matching), got {self.alpha}")
        if self.neighbors and self.then is PostProcessing.PRUNED_GALLERY:
            raise ValueError(
                f"a pruned gallery works only with the encoder's own feature; set neighbors to 0, not {self.neighbors}"
            )

    @property
    def feature(self) -> Point:
        """The point without post-processing that has the same feature."""
        return replace(self, then=PostProcessing.NOTHING)


ENCODER = Point()


@dataclass(frozen=True)
class Pass:
    """Points whose queries are pruned, encoded and matched with the same settings.

    Attributes:
        settings: Settings of the searches; each point replaces their alpha and K by its own.
        points: Features to score.
        resample_per_query: Whether the random strategy samples separately for each query, from the seed and the path of
            the image; otherwise all queries share one sample.
        gallery: Whether gallery images are encoded instead of queries, only to compute their features.
        matched: Whether the features of all points and every `Part` are stored.
    """

    settings: QuerySettings
    points: tuple[Point, ...]
    resample_per_query: bool = False
    gallery: bool = False
    matched: bool = False

    def __post_init__(self) -> None:
        for point in self.points:
            # The constructor raises ValueError for invalid values.
            replace(self.settings, alpha=point.alpha, neighbors=max(1, point.neighbors))
        if not self.points or len(set(self.points)) != len(self.points):
            raise ValueError(f"a pass needs at least one point, without repeats, got {self.points}")
        if self.gallery and (self.points != (ENCODER,) or self.matched):
            raise ValueError(
                f"a pass over the gallery computes encoder features only, got {self.points}; use (ENCODER,)"
            )

    @property
    def immediate_points(self) -> tuple[Point, ...]:
        """Points that can be scored query by query."""
        return tuple(point for point in self.points if point.then is PostProcessing.NOTHING)

    @property
    def deferred_points(self) -> tuple[Point, ...]:
        """Points that can be scored only when all queries are encoded."""
        return tuple(point for point in self.points if point.then is not PostProcessing.NOTHING)

    @property
    def needs_match(self) -> bool:
        """Whether queries are matched with a shortlist, which encoder features do not need."""
        return self.matched or any(point.neighbors for point in self.points)

    @property
    def kept(self) -> tuple[Point | Part, ...]:
        """Points whose features are stored for every image, and parts that are stored with them."""
        if self.gallery:
            return (ENCODER,)
        if self.matched:
            return (*dict.fromkeys(point.feature for point in self.points), *Part)
        return tuple(dict.fromkeys(point.feature for point in self.deferred_points))

    def prune_of(self, record: ImageRecord) -> PruneSettings:
        """Return the settings with which an image is pruned."""
        return resampled_per_query(self.settings.prune, record) if self.resample_per_query else self.settings.prune


def resampled_per_query(prune: PruneSettings, record: ImageRecord) -> PruneSettings:
    """Return settings whose random sample is different for each image; those of other strategies are unchanged.

    Args:
        prune: Settings of a pass.
        record: Record of the image, whose path is added to the seed.
    """
    if prune.strategy is not DropStrategy.RANDOM:
        return prune
    return replace(prune, seed=(prune.seed + zlib.crc32(record.path.as_posix().encode())) % (MAX_SEED + 1))


def gallery_pass(prune: PruneSettings) -> Pass:
    """Return the pass over the pruned gallery, which points with `PostProcessing.PRUNED_GALLERY` need."""
    return Pass(QuerySettings(prune=prune), (ENCODER,), gallery=True)


@dataclass(frozen=True, eq=False)
class PassResult:
    """Results of a pass over Q images with P points, which may be incomplete.

    Attributes:
        average_precision: (Q, P) float64, NaN where not computed yet and for queries without a true match.
        first_match: (Q, P) int64, 0-based rank of the first true match, -1 without one, UNKNOWN where not computed yet.
        known: (Q,) bool, whether immediate points and features of the image are computed.
        features: Float32 array of each point, (Q, C), or part, (Q, n), of `Pass.kept`. A run fills them in place; only
            rows where `known` is True are valid.
    """

    average_precision: np.ndarray
    first_match: np.ndarray
    known: np.ndarray
    features: Mapping[Point | Part, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.average_precision.shape != self.first_match.shape or len(self.known) != len(self.first_match):
            raise ValueError(
                "average_precision, first_match and known must have shapes (Q, P), (Q, P) and (Q,), got "
                f"{self.average_precision.shape}, {self.first_match.shape} and {self.known.shape}"
            )

    @classmethod
    def empty(cls, images: int, eval_pass: Pass, widths: Mapping[Point | Part, int]) -> PassResult:
        """Return an empty result, to be filled image by image.

        Args:
            images: Number of images (Q).
            eval_pass: Pass that the result belongs to.
            widths: Number of float32 values per image for each point and part in `Pass.kept`.
        """
        shape = (images, len(eval_pass.points))
        features = {each: np.full((images, widths[each]), np.nan, np.float32) for each in eval_pass.kept}
        return cls(np.full(shape, np.nan), np.full(shape, UNKNOWN), np.zeros(images, bool), features)

    @property
    def complete(self) -> bool:
        """Whether the immediate points of every image are computed; deferred points may still be missing."""
        return bool(self.known.all())

    def is_scored(self, index: int) -> bool:
        """Return whether the point at `index` is scored for every image."""
        return bool((self.first_match[:, index] != UNKNOWN).all())

    def scores(self, index: int, ranks: int = 50) -> Scores:
        """Return the scores of a point over the images computed so far.

        Args:
            index: Index of the point in `Pass.points`.
            ranks: Length of the CMC.

        Raises:
            ValueError: None of these images has a true match.
        """
        rows = self.first_match[:, index] != UNKNOWN
        return summarise(self.average_precision[rows, index], self.first_match[rows, index], ranks)

    def with_row(self, row: int, indices: list[int], precision: np.ndarray, first: np.ndarray) -> PassResult:
        """Return a copy with the scores of one image filled in.

        Args:
            row: Row of the image.
            indices: Indices of the immediate points.
            precision: Average precision at each of these points.
            first: First match at each of these points.
        """
        known = self.known.copy()
        known[row] = True
        return replace(self._with((row, indices), precision, first), known=known)

    def with_point(self, index: int, scores: Scores) -> PassResult:
        """Return a copy with the scores of one point filled in for all images.

        Args:
            index: Index of the point in `Pass.points`.
            scores: Scores of the point.
        """
        return self._with((slice(None), index), scores.average_precision, scores.first_match)

    def merge(self, other: PassResult) -> PassResult:
        """Return a copy that adds images which only `other`, a result of the same pass, has computed."""
        rows = other.known & ~self.known
        features = {each: np.where(rows[:, None], other.features[each], mine) for each, mine in self.features.items()}
        merged = self._with(rows, other.average_precision[rows], other.first_match[rows])
        return replace(merged, known=self.known | rows, features=features)

    def _with(self, where: Any, precision: np.ndarray, first: np.ndarray) -> PassResult:
        average_precision, first_match = self.average_precision.copy(), self.first_match.copy()
        average_precision[where], first_match[where] = precision, first
        return replace(self, average_precision=average_precision, first_match=first_match)


Known = Mapping[Pass, PassResult]


@dataclass(frozen=True, eq=False)
class PassTask:
    """Passes over some queries of a dataset, to be computed in the given order.

    Raises:
        ValueError: A point needs a pass over the pruned gallery that is missing.
    """

    retriever: Retriever
    dataset: Dataset
    queries: tuple[ImageRecord, ...]
    passes: tuple[Pass, ...]

    def __post_init__(self) -> None:
        dependent = [
            each for each in self.passes if any(p.then is PostProcessing.PRUNED_GALLERY for p in each.deferred_points)
        ]
        if any(gallery_pass(each.settings.prune) not in self.passes for each in dependent):
            raise ValueError("the pass over the pruned gallery is missing; add gallery_pass(settings.prune) to passes")

    def records(self, eval_pass: Pass) -> tuple[ImageRecord, ...]:
        """Return the images that a pass encodes."""
        return self.dataset.gallery if eval_pass.gallery else self.queries

    def known(self, stored: Known | None = None) -> dict[Pass, PassResult]:
        """Return the stored result of every pass, or an empty one."""
        results = {each: PassResult.empty(len(self.records(each)), each, self.widths(each)) for each in self.passes}
        return results | {each: result for each, result in (stored or {}).items() if each in results}

    def widths(self, eval_pass: Pass) -> dict[Point | Part, int]:
        """Return how many numbers per image a pass stores for each point and part."""
        memory, shortlist = self.retriever.memory, min(eval_pass.settings.shortlist, len(self.dataset.gallery))
        parts = {
            Part.CLS: memory.cls.shape[1],
            Part.SHORTLIST: shortlist,
            Part.D_COS: shortlist,
            Part.D_EMD: shortlist,
            Part.PATCHES: memory.grid[0] * memory.grid[1],
        }
        channels = memory.features.shape[1]
        return {each: parts[each] if isinstance(each, Part) else channels for each in eval_pass.kept}

    @property
    def total(self) -> int:
        """Number of steps: one per image and pass, and one per deferred point."""
        return sum(len(self.records(each)) + len(each.deferred_points) for each in self.passes)

    def done(self, known: Known) -> int:
        """Return how many steps are complete."""
        return sum(
            int(known[each].known.sum())
            + sum(known[each].is_scored(each.points.index(point)) for point in each.deferred_points)
            for each in self.passes
            if each in known
        )

    @cached_property
    def queries_digest(self) -> str:
        """SHA-256 of the list of queries, in hex."""
        listing = [[record.path.as_posix(), record.identity, record.camera] for record in self.queries]
        return hashlib.sha256(json.dumps(listing).encode()).hexdigest()

    @cached_property
    def gallery(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Identities (G,) and cameras (G,) of the gallery; cameras are None if the protocol ignores them."""
        records = self.dataset.gallery
        return identities_of(records), cameras_of(records) if self.dataset.excludes_own_camera else None

    def own_row(self, record: ImageRecord) -> int:
        """Return the gallery row of a query that is itself a gallery image, or -1."""
        return self.dataset.own_rows.get(record.path, -1)

    def has_match(self, record: ImageRecord) -> bool:
        """Return whether the gallery has a true match for a query; means exclude queries without one."""
        identities, cameras = self.gallery
        camera = record.camera if self.dataset.excludes_own_camera else None
        return bool(match_mask(record.identity, identities, camera, cameras, self.own_row(record)).any())

    def with_true_matches(self) -> PassTask:
        """Return the task without queries that have no true match."""
        return replace(self, queries=tuple(record for record in self.queries if self.has_match(record)))

    def score(self, features: np.ndarray, record: ImageRecord) -> tuple[np.ndarray, np.ndarray]:
        """Score several features of one query.

        Args:
            features: (B, C) features.
            record: Record of the query.

        Returns:
            Average precision (B,) and first match (B,), which are NaN and -1 without a true match.
        """
        if not self.has_match(record):
            return np.full(len(features), np.nan), np.full(len(features), -1)
        identities, cameras = self.gallery
        scores = evaluate(
            feature_distance(features, self.retriever.memory.unit_features),
            np.full(len(features), record.identity),
            identities,
            None if cameras is None else np.full(len(features), record.camera),
            cameras,
            own_rows=np.full(len(features), self.own_row(record)),
        )
        return scores.average_precision, scores.first_match
