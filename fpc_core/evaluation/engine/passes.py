"""What sweeps and tables ask for: passes over the queries, and what is known of them.

A pass is one way of pruning. Its encodings and its transport serve every point of it: every alpha, every K, and the
encoder's own feature. `run.py` computes passes, `store.py` keeps them.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

import numpy as np

from fpc_core.config import MAX_SEED, DropStrategy, PruneSettings, QuerySettings
from fpc_core.data.datasets import Dataset, ImageRecord
from fpc_core.evaluation.engine.protocol import cameras_of, feature_distance, identities_of
from fpc_core.evaluation.metrics.retrieval import evaluate, match_mask, summarise
from fpc_core.results import Scores
from fpc_core.retrieval import Retriever

UNKNOWN = -2  # as a first match: not computed yet; -1 is a query without a true match


class PostProcessing(StrEnum):
    """What is done with the features of all queries, once all are known."""

    NOTHING = ""
    RE_RANKED = "re-ranked"  # k-reciprocal re-ranking
    PRUNED_GALLERY = "pruned gallery"  # compared with a gallery pruned like the queries, not with the memory


class Part(StrEnum):
    """What else can be kept of a query: all that its shortlist was ranked by. Per image, n numbers as float32.

    A row of the memory is a whole number below 2**24, which float32 holds exactly.
    """

    CLS = "[cls]"  # n = C: the token that D_cos compares
    SHORTLIST = "shortlist"  # n = S: rows of the memory, nearest by D_cos first
    D_COS = "D_cos"  # n = S
    D_EMD = "D_EMD"  # n = S
    PATCHES = "patches"  # n = N: 1 where the patch survives the last dropping block, else 0


@dataclass(frozen=True)
class Point:
    """Which feature of a pass is scored: the consolidated one, of the K nearest by D at alpha.

    neighbors: K; 0 is the encoder's own feature, without matching and consolidation.
    """

    alpha: float = 0.0
    neighbors: int = 0
    then: PostProcessing = PostProcessing.NOTHING

    def __post_init__(self) -> None:
        if self.neighbors == 0 and self.alpha != 0:
            raise ValueError(f"without neighbours nothing is matched: alpha must be 0, not {self.alpha}")
        if self.neighbors and self.then is PostProcessing.PRUNED_GALLERY:
            raise ValueError("only the encoder's own feature meets a pruned gallery: the memory is never pruned")

    @property
    def feature(self) -> Point:
        """The point whose feature this one scores."""
        return replace(self, then=PostProcessing.NOTHING)


ENCODER = Point()


@dataclass(frozen=True)
class Pass:
    """Points that share one way of pruning.

    settings: all of it but alpha and K, which the points replace.
    anew: the random strategy draws anew for every query, from the seed and the image's path; else one draw serves all.
    gallery: the gallery images pass instead of the queries, for their encoder features alone.
    matched: the features of all points and every `Part` are kept too: what a query was compared with, and by what.
    """

    settings: QuerySettings
    points: tuple[Point, ...]
    resample_per_query: bool = False
    gallery: bool = False
    matched: bool = False

    def __post_init__(self) -> None:
        for point in self.points:
            replace(self.settings, alpha=point.alpha, neighbors=max(1, point.neighbors))  # raises for what cannot be
        if not self.points or len(set(self.points)) != len(self.points):
            raise ValueError(f"a pass needs at least one point and none twice, not {self.points}")
        if self.gallery and (self.points != (ENCODER,) or self.matched):
            raise ValueError("the gallery passes for its encoder features alone")

    @property
    def immediate_points(self) -> tuple[Point, ...]:
        """Points known query by query; the others wait for all queries."""
        return tuple(point for point in self.points if point.then is PostProcessing.NOTHING)

    @property
    def deferred_points(self) -> tuple[Point, ...]:
        """Points that wait until all queries are through."""
        return tuple(point for point in self.points if point.then is not PostProcessing.NOTHING)

    @property
    def needs_match(self) -> bool:
        """Whether queries are matched with a shortlist: not for encoder features alone."""
        return self.matched or any(point.neighbors for point in self.points)

    @property
    def kept(self) -> tuple[Point | Part, ...]:
        """What is kept of every image: features, by their point, and parts."""
        if self.gallery:
            return (ENCODER,)
        if self.matched:
            return (*dict.fromkeys(point.feature for point in self.points), *Part)
        return tuple(dict.fromkeys(point.feature for point in self.deferred_points))

    def prune_of(self, record: ImageRecord) -> PruneSettings:
        """How this image is pruned."""
        return resampled_per_query(self.settings.prune, record) if self.resample_per_query else self.settings.prune


def resampled_per_query(prune: PruneSettings, record: ImageRecord) -> PruneSettings:
    """The random strategy with a seed of this image's own, made from the seed and the path; others as they are."""
    if prune.strategy is not DropStrategy.RANDOM:
        return prune
    return replace(prune, seed=(prune.seed + zlib.crc32(record.path.as_posix().encode())) % (MAX_SEED + 1))


def gallery_pass(prune: PruneSettings) -> Pass:
    """The gallery, pruned: what points that are `PostProcessing.PRUNED_GALLERY` wait for."""
    return Pass(QuerySettings(prune=prune), (ENCODER,), gallery=True)


@dataclass(frozen=True, eq=False)
class PassResult:
    """What is known of a pass: Q images, P points in the order of the pass.

    average_precision: (Q, P) float64, NaN where not known yet and for queries without a true match.
    first_match: (Q, P) int64, 0-based rank of the first true match, -1 without one, UNKNOWN where not known yet.
    known: (Q,) bool: images whose direct points and features are known.
    features: (Q, C) float32 by point of `Pass.kept`, (Q, n) by part. A run fills them in place: rows mean something
    where `known`.
    """

    average_precision: np.ndarray
    first_match: np.ndarray
    known: np.ndarray
    features: Mapping[Point | Part, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.average_precision.shape != self.first_match.shape or len(self.known) != len(self.first_match):
            raise ValueError("a pass needs one first match per average precision, (images, points)")

    @classmethod
    def empty(cls, images: int, asked: Pass, widths: Mapping[Point | Part, int]) -> PassResult:
        """Nothing is known. widths: numbers per image of everything in `Pass.kept`."""
        shape = (images, len(asked.points))
        features = {each: np.full((images, widths[each]), np.nan, np.float32) for each in asked.kept}
        return cls(np.full(shape, np.nan), np.full(shape, UNKNOWN), np.zeros(images, bool), features)

    @property
    def complete(self) -> bool:
        """Every image is known; points that wait for all may not be."""
        return bool(self.known.all())

    def knows(self, place: int) -> bool:
        """Whether the point at this place is known of every image."""
        return bool((self.first_match[:, place] != UNKNOWN).all())

    def scores(self, place: int, ranks: int = 50) -> Scores:
        """Scores of the point at this place over the images known. Raises ValueError where none has a true match."""
        rows = self.first_match[:, place] != UNKNOWN
        return summarise(self.average_precision[rows, place], self.first_match[rows, place], ranks)

    def with_row(self, row: int, places: list[int], precision: np.ndarray, first: np.ndarray) -> PassResult:
        """A copy in which image `row` is known: AP and first match of the direct points, at these places."""
        known = self.known.copy()
        known[row] = True
        return replace(self._with((row, places), precision, first), known=known)

    def with_point(self, place: int, scores: Scores) -> PassResult:
        """A copy in which the point at this place is known of all images."""
        return self._with((slice(None), place), scores.average_precision, scores.first_match)

    def _with(self, where: tuple, precision: np.ndarray, first: np.ndarray) -> PassResult:
        average_precision, first_match = self.average_precision.copy(), self.first_match.copy()
        average_precision[where], first_match[where] = precision, first
        return replace(self, average_precision=average_precision, first_match=first_match)


Known = Mapping[Pass, PassResult]


@dataclass(frozen=True, eq=False)
class PassTask:
    """Passes over these queries of the dataset, in this order.

    Raises ValueError where a point waits for a pass of the gallery that is not among them.
    """

    retriever: Retriever
    dataset: Dataset
    queries: tuple[ImageRecord, ...]
    passes: tuple[Pass, ...]

    def __post_init__(self) -> None:
        waiting = [
            each for each in self.passes if any(p.then is PostProcessing.PRUNED_GALLERY for p in each.deferred_points)
        ]
        if any(gallery_pass(each.settings.prune) not in self.passes for each in waiting):
            raise ValueError("a pruned gallery needs its pass: add gallery_pass(settings.prune)")

    def records(self, asked: Pass) -> tuple[ImageRecord, ...]:
        """The images that this pass goes over."""
        return self.dataset.gallery if asked.gallery else self.queries

    def known(self, kept: Known | None = None) -> dict[Pass, PassResult]:
        """Every pass of the task: as kept, else before it began."""
        found = {each: PassResult.empty(len(self.records(each)), each, self.widths(each)) for each in self.passes}
        return found | {each: result for each, result in (kept or {}).items() if each in found}

    def widths(self, asked: Pass) -> dict[Point | Part, int]:
        """Numbers per image of everything that a pass keeps."""
        memory, shortlist = self.retriever.memory, min(asked.settings.shortlist, len(self.dataset.gallery))
        parts = {
            Part.CLS: memory.cls.shape[1],
            Part.SHORTLIST: shortlist,
            Part.D_COS: shortlist,
            Part.D_EMD: shortlist,
            Part.PATCHES: memory.grid[0] * memory.grid[1],
        }
        channels = memory.features.shape[1]
        return {each: parts[each] if isinstance(each, Part) else channels for each in asked.kept}

    @property
    def total(self) -> int:
        """Steps of a run from the start: one per image and pass, one per point that waits for all."""
        return sum(len(self.records(each)) + len(each.deferred_points) for each in self.passes)

    def done(self, known: Known) -> int:
        """Steps behind us."""
        return sum(
            int(known[each].known.sum())
            + sum(known[each].knows(each.points.index(point)) for point in each.deferred_points)
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
        """Identities (G,) and cameras (G,), None for a dataset without."""
        records = self.dataset.gallery
        return identities_of(records), cameras_of(records) if self.dataset.uses_cameras else None

    def has_match(self, record: ImageRecord) -> bool:
        """Whether the gallery holds a true match of this query; without one it is left out of every mean."""
        identities, cameras = self.gallery
        camera = record.camera if self.dataset.uses_cameras else None
        return bool(match_mask(record.identity, identities, camera, cameras).any())

    def with_true_matches(self) -> PassTask:
        """The task without queries that the gallery holds no true match of."""
        return replace(self, queries=tuple(record for record in self.queries if self.has_match(record)))

    def score(self, features: np.ndarray, record: ImageRecord) -> tuple[np.ndarray, np.ndarray]:
        """AP and first match (B,) of B features (B, C) of one query; NaN and -1 where it has no true match."""
        if not self.has_match(record):
            return np.full(len(features), np.nan), np.full(len(features), -1)
        identities, cameras = self.gallery
        scores = evaluate(
            feature_distance(features, self.retriever.memory.unit_features),
            np.full(len(features), record.identity),
            identities,
            None if cameras is None else np.full(len(features), record.camera),
            cameras,
        )
        return scores.average_precision, scores.first_match
