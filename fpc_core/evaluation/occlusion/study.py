"""Search for one query under many scenes of occluders at several keep rates, and rank its true matches.

Images are encoded in batches up to the first drop, once for all keep rates; transport is computed image by image. A run
is a generator. To cancel it, stop iterating; to resume, pass its last result to the next run. `scenarios.py` and
`sensitivity_map.py` make the scenes of curves and maps and evaluate the results.
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

BATCH = 16  # Number of images that are encoded together.
RANKINGS = ("cosine", "D", "consolidated")
COSINE, DISTANCE, FINAL = range(3)
NOT_RANKED = -1  # Rank if a ranking has no true match: rankings by cosine and D contain only the shortlist.
_UNKNOWN = 0  # Rank that is not computed yet.


@dataclass(frozen=True, eq=False)
class Relevance:
    """Masks of the gallery images that are true matches (`right`) or junk, (G,) bool each."""

    right: np.ndarray
    junk: np.ndarray

    def __post_init__(self) -> None:
        if self.right.shape != self.junk.shape or (self.right & self.junk).any():
            raise ValueError("right and junk must have the same length, and no image may be in both")
        if not self.right.any():
            raise ValueError("the gallery has no true match of this query; choose another query")

    @classmethod
    def of(cls, identity: int, camera: int | None, records: Sequence[ImageRecord], own: int = -1) -> Relevance:
        """Determine true matches and junk by the same rule as the evaluation.

        Args:
            identity: Identity of the query.
            camera: Camera of the query, or None if cameras are unknown; then no image is junk because of its camera.
            records: Records of the gallery.
            own: Row of the gallery image that is the query itself, -1 for none.
        """
        rule = identity, identities_of(records), camera, cameras_of(records), own
        return cls(match_mask(*rule), junk_mask(*rule))


@dataclass(frozen=True, eq=False)
class OcclusionTask:
    """Searches for one image under every scene at every keep rate.

    Attributes:
        retriever: Model and gallery memory.
        image: (H, W, 3) uint8 image at the model's input size.
        camera: 0-based camera of the image, or None if unknown.
        relevance: Masks of the gallery images that are true matches or junk.
        scenes: Scenes of occluders to paint on the image.
        settings: Settings of the searches, whose keep rate is replaced.
        keep_rates: Keep rates of the searches.
        pictures: Images of the cut-outs in the scenes.

    Raises:
        ValueError: There are no scenes or keep rates, or `relevance` belongs to another gallery.
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
            raise ValueError(
                f"relevance must have one entry per gallery image, {len(self.retriever.memory)}, got "
                f"{len(self.relevance.right)}"
            )

    @property
    def total(self) -> int:
        """Number of searches."""
        return len(self.keep_rates) * len(self.scenes)


@dataclass(frozen=True, eq=False)
class OcclusionResults:
    """Ranks of the true matches at R keep rates under S scenes. Rank 0 and NaN mean not computed yet.

    Attributes:
        rank: (R, S, 3) int64, 1-based rank of the first true match in the three RANKINGS without junk, or NOT_RANKED.
        distance: (R, S, 3) float64, distance of the first true match; NaN where it is not ranked.
        margin: (R, S, 3) float64, distance of the first wrong hit minus that of the first true match; positive if the
            match is first. -inf without a true match, inf without a wrong hit.
        match_parts: (R, S, 2) float64, D_cos and D_EMD of the true match nearest by D.
        wrong_parts: (R, S, 2) float64, D_cos and D_EMD of the wrong hit nearest by D.
    """

    rank: np.ndarray
    distance: np.ndarray
    margin: np.ndarray
    match_parts: np.ndarray
    wrong_parts: np.ndarray

    @classmethod
    def empty(cls, rates: int, scenes: int) -> OcclusionResults:
        """Return results in which nothing is computed yet.

        Args:
            rates: Number of keep rates (R).
            scenes: Number of scenes (S).
        """
        three, two = (np.full((rates, scenes, parts), np.nan) for parts in (3, 2))
        return cls(np.full((rates, scenes, 3), _UNKNOWN), three, three, two, two)

    @property
    def known(self) -> np.ndarray:
        """Whether each search is computed, (R, S) bool."""
        return self.rank[..., FINAL] != _UNKNOWN

    @property
    def done(self) -> int:
        """Number of searches that are computed."""
        return int(self.known.sum())

    @property
    def complete(self) -> bool:
        """Whether all searches are computed."""
        return bool(self.known.all())

    def with_one(self, rate: int, scene: int, one: OcclusionResults) -> OcclusionResults:
        """Return a copy with the results of one search filled in.

        Args:
            rate: Index of the keep rate.
            scene: Index of the scene.
            one: Results of the search, with R = S = 1.
        """
        values = []
        for each in fields(self):
            array = getattr(self, each.name).copy()
            array[rate, scene] = getattr(one, each.name)[0, 0]
            values.append(array)
        return OcclusionResults(*values)


def run_occlusion(
    task: OcclusionTask, known: OcclusionResults | None = None
) -> Generator[OcclusionResults, None, None]:
    """Compute the results that are missing in `known`, and yield all results after every search.

    Args:
        task: Image, scenes and keep rates.
        known: Results that are already computed.

    Raises:
        ValueError: The image of a cut-out is missing.
    """
    retriever, settings = task.retriever, task.settings
    results = known or OcclusionResults.empty(len(task.keep_rates), len(task.scenes))
    for start in range(0, len(task.scenes), BATCH):
        batch = range(start, min(start + BATCH, len(task.scenes)))
        if results.known[:, batch.start : batch.stop].all():
            continue
        # The whole batch is encoded even if some results are known, because a smaller batch may round differently.
        images = [paint(task.image, task.scenes[scene], task.pictures) for scene in batch]
        cameras = None if task.camera is None else torch.full((len(batch),), task.camera)
        state = retriever.prepare(to_tensor(images, retriever.model.config), cameras, settings.prune.blocks[0])
        for rate, keep_rate in enumerate(task.keep_rates):
            missing = [scene for scene in batch if not results.known[rate, scene]]
            if not missing:
                continue
            at_rate = settings.with_keep_rate(keep_rate)
            encodings = retriever.encode(state, at_rate.prune)
            for scene in missing:
                encoding = encodings[scene - start : scene - start + 1]
                trace = retriever.finish(encoding, retriever.match(encoding, at_rate), at_rate)
                results = results.with_one(rate, scene, match_ranks(trace, task.relevance))
                yield results


def match_ranks(trace: QueryTrace, relevance: Relevance) -> OcclusionResults:
    """Return the ranks of the true matches in one search.

    Args:
        trace: Results of all stages of the search.
        relevance: Masks of the gallery images that are true matches or junk.

    Returns:
        Results with R = S = 1.
    """
    rankings = (trace.by_cosine, trace.by_distance, trace.final)
    rank, distance, margin = (np.empty(3) for _ in range(3))
    for index, ranking in enumerate(rankings):
        rank[index], distance[index], margin[index] = _rank_match(ranking, relevance)
    shortlist, d_emd = trace.match.shortlist, trace.match.transport.distance
    parts = {int(row): each for row, *each in zip(shortlist.indices, shortlist.d_cos, d_emd, strict=True)}
    nearest = []
    for chosen in (relevance.right, ~relevance.right & ~relevance.junk):
        rows = trace.by_distance.indices[chosen[trace.by_distance.indices]]
        nearest.append(parts[int(rows[0])] if len(rows) else (np.nan, np.nan))
    match_parts, wrong_parts = (np.array(each, np.float64)[None, None] for each in nearest)
    return OcclusionResults(
        rank.astype(np.int64)[None, None], distance[None, None], margin[None, None], match_parts, wrong_parts
    )


def _rank_match(ranking: Ranking, relevance: Relevance) -> tuple[int, float, float]:
    """Return the rank, distance and margin of the first true match, as defined in `OcclusionResults`.

    Args:
        ranking: Ranking of the gallery or of the shortlist.
        relevance: Masks of the gallery images that are true matches or junk.
    """
    counted = ~relevance.junk[ranking.indices]
    right, distance = relevance.right[ranking.indices][counted], ranking.distance[counted].astype(np.float64)
    wrong = np.flatnonzero(~right)
    if not right.any():
        return NOT_RANKED, np.nan, -np.inf
    first = int(right.argmax())
    margin = distance[wrong[0]] - distance[first] if len(wrong) else np.inf
    return first + 1, float(distance[first]), float(margin)
