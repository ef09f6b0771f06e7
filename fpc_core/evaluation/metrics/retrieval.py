"""CMC and mAP under the Market-1501 protocol, as TransReID's and FPC's released evaluation compute them.

Gallery images of the query's identity taken by the query's camera are *junk*: they are removed before ranking, because
finding the next frame of the same video proves nothing. Datasets without usable cameras (Occluded-ReID) pass None for
the cameras and have no such junk. Identity -1 marks the badly detected boxes of Market-1501 and is junk for every
query, as in the readers that leave these files out. Every other identity counts. Market's distractors (identity 0) stay
in the gallery as wrong answers because no query has identity 0, and datasets that number people from 0 need no
exception.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fpc_core.results import Scores

JUNK_IDENTITY = -1


def evaluate(
    distance: np.ndarray,
    query_ids: ArrayLike,
    gallery_ids: ArrayLike,
    query_cameras: ArrayLike | None = None,
    gallery_cameras: ArrayLike | None = None,
    max_rank: int = 50,
) -> Scores:
    """Compute CMC and average precision of every query.

    AP is the mean, over the true matches, of the precision at the rank of each. A query without a true match has NaN as
    AP and is left out of the CMC; `Scores.skipped` counts these.

    Args:
        distance: (Q, G), smaller is nearer; equal distances rank in gallery order.
        query_ids: (Q,) integers.
        gallery_ids: (G,) integers.
        query_cameras: (Q,) integers, or None for a dataset without cameras.
        gallery_cameras: (G,) integers, or None.
        max_rank: The CMC has min(max_rank, G) ranks.

    Raises:
        ValueError: Shapes do not fit, a distance is NaN, cameras are given for one side only, or no query has a true
            match.
    """
    distance = np.asarray(distance)
    identities, gallery_identities = np.asarray(query_ids), np.asarray(gallery_ids)
    _check(distance, identities, gallery_identities, max_rank)
    cameras, gallery_cameras = _cameras(query_cameras, gallery_cameras, distance.shape)

    average_precision = np.full(len(identities), np.nan)
    first_match = np.full(len(identities), -1)
    for row in range(len(identities)):
        camera = None if cameras is None else int(cameras[row])
        matches = match_mask(identities[row], gallery_identities, camera, gallery_cameras)
        if not matches.any():
            continue
        kept = ~junk_mask(identities[row], gallery_identities, camera, gallery_cameras)
        if np.isnan(distance[row]).any():
            raise ValueError(f"the distances of query {row} contain NaN: they cannot be ranked")
        ranks = _ranks(distance[row][kept], matches[kept])
        average_precision[row] = np.mean(np.arange(1, len(ranks) + 1) / (ranks + 1))
        first_match[row] = ranks[0]

    return summarise(average_precision, first_match, min(max_rank, distance.shape[1]))


def summarise(average_precision: np.ndarray, first_match: np.ndarray, ranks: int) -> Scores:
    """Combine queries that were evaluated one by one.

    Args:
        average_precision: (Q,), NaN without a true match.
        first_match: (Q,) 0-based rank of the first true match, -1 without one.
        ranks: Length of the CMC.

    Raises:
        ValueError: No query has a true match.
    """
    valid = first_match[first_match >= 0]
    if not len(valid):
        raise ValueError(
            "no query has a true match in the gallery: check that both sides number identities alike and, "
            "where cameras are given, that people were seen by more than one"
        )
    cmc = (valid[:, None] <= np.arange(ranks)).mean(axis=0)
    return Scores(cmc=cmc, average_precision=average_precision, first_match=first_match)


def match_mask(
    query_id: int, gallery_ids: np.ndarray, query_camera: int | None = None, gallery_cameras: np.ndarray | None = None
) -> np.ndarray:
    """Return which gallery images are true matches: the query's identity, and not junk.

    Args:
        query_id: Identity of the query.
        gallery_ids: (G,) integers.
        query_camera: Camera of the query, or None if unknown; then no image is junk by its camera.
        gallery_cameras: (G,) integers, or None.

    Returns:
        (G,) bool. An image that is neither a match nor junk is a wrong answer.
    """
    same = gallery_ids == query_id
    return same & ~junk_mask(query_id, gallery_ids, query_camera, gallery_cameras)


def junk_mask(
    query_id: int, gallery_ids: np.ndarray, query_camera: int | None = None, gallery_cameras: np.ndarray | None = None
) -> np.ndarray:
    """Return which gallery images are left out of the query's ranking.

    These are images of its identity by its own camera, and identity -1. The arguments are those of `match_mask`.
    """
    junk = gallery_ids == JUNK_IDENTITY
    if query_camera is not None and gallery_cameras is not None:
        junk = junk | ((gallery_ids == query_id) & (gallery_cameras == query_camera))
    return junk


def l2_normalize(features: np.ndarray) -> np.ndarray:
    """Scale every row to length 1, as float32.

    Raises:
        ValueError: A row (of (n, C)) has length zero or is not finite.
    """
    features = np.asarray(features, dtype=np.float32)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(length) & (length > 0)))
    if len(bad):
        raise ValueError(f"feature {bad[0]} of {len(features)} is zero or not finite and cannot be normalised")
    return features / length


def _ranks(distance: np.ndarray, matches: np.ndarray) -> np.ndarray:
    """Return the ascending 0-based ranks (m,) of the true matches in a stable sort of `distance`.

    The rank of a match is the number of images before it, so nothing is sorted. One vectorised comparison per match
    takes half the time of numpy's fastest sort of 17,661 distances and a thirteenth of its stable sort.
    """
    positions = np.flatnonzero(matches)
    ranks = [
        np.count_nonzero(distance < distance[i]) + np.count_nonzero(distance[:i] == distance[i]) for i in positions
    ]
    return np.sort(np.array(ranks))


def _check(distance: np.ndarray, identities: np.ndarray, gallery_identities: np.ndarray, max_rank: int) -> None:
    if distance.ndim != 2 or distance.shape != (identities.size, gallery_identities.size):
        raise ValueError(
            f"distances of shape {distance.shape} do not fit {identities.size} queries and {gallery_identities.size} "
            "gallery images: one row per query, one column per gallery image"
        )
    if not distance.size:
        raise ValueError("nothing to evaluate: there are no queries or no gallery images")
    if max_rank < 1:
        raise ValueError(f"max_rank must be at least 1, not {max_rank}")


def _cameras(
    query: ArrayLike | None, gallery: ArrayLike | None, shape: tuple[int, ...]
) -> tuple[np.ndarray | None, np.ndarray | None]:
    if query is None and gallery is None:
        return None, None
    if query is None or gallery is None:
        raise ValueError("cameras are needed for both queries and gallery, or for neither")
    query, gallery = np.asarray(query), np.asarray(gallery)
    if (query.size, gallery.size) != shape:
        raise ValueError(f"{query.size} query and {gallery.size} gallery cameras do not fit distances of shape {shape}")
    return query, gallery
