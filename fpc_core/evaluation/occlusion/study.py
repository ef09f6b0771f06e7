"""One query under many scenes of occluders, at several keep rates: where its true matches stand in each ranking.

The images are encoded in batches up to the first drop, which serves all keep rates; transport runs image by image. A
run is a generator: whoever stops iterating cancels it, and what is known goes into the next run. `occlusion_paths.py`
says which scenes make a curve or a map, and reads them.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import torch

from fpc_core.config import QuerySettings
from fpc_core.data.datasets import ImageRecord
from fpc_core.data.images import to_tensor
from fpc_core.data.occluder_rendering import CutOutImages, paint
from fpc_core.data.occluders import Scene
from fpc_core.evaluation.engine.protocol import cameras_of, identities_of
from fpc_core.evaluation.metrics.retrieval import junk_mask, match_mask
from fpc_core.results import QueryTrace, Ranking
from fpc_core.retrieval import Retriever

BATCH = 16  # images encoded together
RANKINGS = ("cosine", "D", "consolidated")
COSINE, DISTANCE, FINAL = range(3)
NOT_RANKED = -1  # as a rank: no true match in the ranking, which by cosine and D is the shortlist
_UNKNOWN = 0  # as a rank: not computed yet


@dataclass(frozen=True, eq=False)
class Relevance:
    """What every gallery image is to the query: right (G,) a true match, junk (G,) left out; both bool."""

    right: np.ndarray
    junk: np.ndarray

    def __post_init__(self) -> None:
        if self.right.shape != self.junk.shape or (self.right & self.junk).any():
            raise ValueError("right and junk must speak of the same gallery, and no image can be both")
        if not self.right.any():
            raise ValueError("the gallery holds no true match of this query, so none can be lost")

    @classmethod
    def of(cls, identity: int, camera: int | None, records: Sequence[ImageRecord]) -> Relevance:
        """By the rules of the evaluation. camera: of the query, None where cameras mean nothing; then none is junk."""
        asked = identity, identities_of(records), camera, cameras_of(records)
        return cls(match_mask(*asked), junk_mask(*asked))


@dataclass(frozen=True, eq=False)
class OcclusionTask:
    """What is asked: every scene on the image, at every keep rate.

    image: uint8 (H, W, 3) at the model's input size.  camera: 0-based, None where unknown or without meaning.
    pictures: of the scenes' cut-outs.  settings: all but the keep rate.
    Raises ValueError for nothing to do.
    """

    retriever: Retriever
    image: np.ndarray
    camera: int | None
    relevance: Relevance
    scenes: tuple[Scene, ...]
    settings: QuerySettings
    keep_rates: tuple[float, ...]
    pictures: CutOutImages = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.scenes or not self.keep_rates:
            raise ValueError("at least one scene and one keep rate are needed")
        if len(self.relevance.right) != len(self.retriever.memory):
            raise ValueError("right and junk must speak of every image of the memory")

    @property
    def total(self) -> int:
        """Steps of the whole task."""
        return len(self.keep_rates) * len(self.scenes)


@dataclass(frozen=True, eq=False)
class OcclusionResults:
    """Where the true matches stand, at R keep rates under S scenes.

    rank: (R, S, 3) int64, 1-based, of the first true match in the three RANKINGS, junk left out; or BEYOND.
    distance: (R, S, 3) float64, of that match; NaN where it is BEYOND.
    margin: (R, S, 3) float64, distance of the first wrong hit minus that of the first true match: positive exactly
    where the match is first (equal distances apart). -inf without a true match in the ranking, inf without a wrong hit.
    match_parts, wrong_parts: (R, S, 2) float64, D_cos and D_EMD of the true match and of the wrong hit nearest by D.
    What is not computed yet is rank 0 and NaN.
    """

    rank: np.ndarray
    distance: np.ndarray
    margin: np.ndarray
    match_parts: np.ndarray
    wrong_parts: np.ndarray

    @classmethod
    def empty(cls, rates: int, scenes: int) -> OcclusionResults:
        """Nothing known yet of so many keep rates and scenes."""
        three, two = (np.full((rates, scenes, parts), np.nan) for parts in (3, 2))
        return cls(np.full((rates, scenes, 3), _UNKNOWN), three, three, two, two)

    @property
    def known(self) -> np.ndarray:
        """(R, S) bool"""
        return self.rank[..., FINAL] != _UNKNOWN

    @property
    def done(self) -> int:
        """How many are known."""
        return int(self.known.sum())

    @property
    def complete(self) -> bool:
        """Whether all are known."""
        return bool(self.known.all())

    def with_one(self, rate: int, scene: int, one: OcclusionResults) -> OcclusionResults:
        """A copy in which this keep rate and scene are known; one: (1, 1)."""
        values = []
        for each in fields(self):
            array = getattr(self, each.name).copy()
            array[rate, scene] = getattr(one, each.name)[0, 0]
            values.append(array)
        return OcclusionResults(*values)


def run_occlusion(
    task: OcclusionTask, known: OcclusionResults | None = None
) -> Generator[OcclusionResults, None, None]:
    """Compute what `known` lacks. Yields all that is known whenever one scene at one keep rate has come to it.

    Raises ValueError for a cut-out whose picture is missing.
    """
    retriever, settings = task.retriever, task.settings
    found = known or OcclusionResults.empty(len(task.keep_rates), len(task.scenes))
    for start in range(0, len(task.scenes), BATCH):
        batch = range(start, min(start + BATCH, len(task.scenes)))
        if found.known[:, batch.start : batch.stop].all():
            continue
        # The whole batch is encoded even if a stop left half of it: another batch may round differently.
        images = [paint(task.image, task.scenes[scene], task.pictures) for scene in batch]
        cameras = None if task.camera is None else torch.full((len(batch),), task.camera)
        state = retriever.prepare(to_tensor(images, retriever.model.config), cameras, settings.prune.blocks[0])
        for rate, keep_rate in enumerate(task.keep_rates):
            missing = [scene for scene in batch if not found.known[rate, scene]]
            if not missing:
                continue
            moved = settings.with_keep_rate(keep_rate)
            encodings = retriever.encode(state, moved.prune)
            for scene in missing:
                encoding = encodings[scene - start : scene - start + 1]
                trace = retriever.finish(encoding, retriever.match(encoding, moved), moved)
                found = found.with_one(rate, scene, match_ranks(trace, task.relevance))
                yield found


def match_ranks(trace: QueryTrace, relevance: Relevance) -> OcclusionResults:
    """Of one search: (1, 1)."""
    rankings = (trace.by_cosine, trace.by_distance, trace.final)
    rank, distance, margin = (np.empty(3) for _ in range(3))
    for place, ranking in enumerate(rankings):
        rank[place], distance[place], margin[place] = _standing(ranking, relevance)
    short, d_emd = trace.match.shortlist, trace.match.transport.distance
    parts = {int(row): each for row, *each in zip(short.indices, short.d_cos, d_emd, strict=True)}
    nearest = []
    for wanted in (relevance.right, ~relevance.right & ~relevance.junk):
        rows = trace.by_distance.indices[wanted[trace.by_distance.indices]]
        nearest.append(parts[int(rows[0])] if len(rows) else (np.nan, np.nan))
    match_parts, wrong_parts = (np.array(each, np.float64)[None, None] for each in nearest)
    return OcclusionResults(
        rank.astype(np.int64)[None, None], distance[None, None], margin[None, None], match_parts, wrong_parts
    )


def _standing(ranking: Ranking, relevance: Relevance) -> tuple[int, float, float]:
    """Rank and distance of the first true match, and its margin."""
    counted = ~relevance.junk[ranking.indices]
    right, distance = relevance.right[ranking.indices][counted], ranking.distance[counted].astype(np.float64)
    wrong = np.flatnonzero(~right)
    if not right.any():
        return NOT_RANKED, np.nan, -np.inf
    first = int(right.argmax())
    margin = distance[wrong[0]] - distance[first] if len(wrong) else np.inf
    return first + 1, float(distance[first]), float(margin)
