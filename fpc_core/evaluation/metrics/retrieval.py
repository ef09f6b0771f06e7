"""CMC and mAP under the Market-1501 protocol, as TransReID's and FPC's released evaluation compute them.

Of a query's gallery, images of the same identity taken by the same camera are *junk*: they are removed before ranking,
since finding the next frame of one video proves nothing. Datasets without usable cameras (Occluded-ReID) pass None for
the cameras and have no such junk. Identity -1 marks the badly detected boxes of Market-1501 and is junk for every
query, as in the readers that leave these files out. Every other identity counts: Market's distractors (identity 0)
stay in the gallery as wrong answers, since no query carries identity 0, while datasets that number people from 0 need
no exception.
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
    """CMC and average precision of every query.

    distance: (Q, G), smaller is nearer; equal distances rank in gallery order. Identities and cameras: (Q,) and (G,)
    integers, cameras None for a dataset without them. The CMC has min(max_rank, G) ranks.

    A query without a true match has no average precision (NaN) and is left out of the CMC; `Scores.skipped` counts
    them. AP is the mean, over the true matches, of the precision at the rank of each.

    Raises ValueError for shapes that do not fit, NaN distances, cameras for one side only, or when no query at all
    has a true match.
    """
    distance = np.asarray(distance)
    people, gallery_people = np.asarray(query_ids), np.asarray(gallery_ids)
    _check(distance, people, gallery_people, max_rank)
    cameras, gallery_cameras = _cameras(query_cameras, gallery_cameras, distance.shape)

    average_precision = np.full(len(people), np.nan)
    first_match = np.full(len(people), -1)
    for row in range(len(people)):
        camera = None if cameras is None else int(cameras[row])
        matches = match_mask(people[row], gallery_people, camera, gallery_cameras)
        if not matches.any():
            continue
        kept = ~junk_mask(people[row], gallery_people, camera, gallery_cameras)
        if np.isnan(distance[row]).any():
            raise ValueError(f"the distances of query {row} contain NaN: they cannot be ranked")
        ranks = _ranks(distance[row][kept], matches[kept])
        average_precision[row] = np.mean(np.arange(1, len(ranks) + 1) / (ranks + 1))
        first_match[row] = ranks[0]

    return summarise(average_precision, first_match, min(max_rank, distance.shape[1]))


def summarise(average_precision: np.ndarray, first_match: np.ndarray, ranks: int) -> Scores:
    """Scores of queries evaluated one by one: (Q,) AP, NaN without a true match, and (Q,) first match, -1 then.

    ranks: of the CMC. Raises ValueError when no query at all has a true match.
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
    """(G,) bool: true matches, that is the query's identity and not junk. Camera None: unknown, no image is junk by it.

    What is neither a match nor junk is a wrong answer.
    """
    same = gallery_ids == query_id
    return same & ~junk_mask(query_id, gallery_ids, query_camera, gallery_cameras)


def junk_mask(
    query_id: int, gallery_ids: np.ndarray, query_camera: int | None = None, gallery_cameras: np.ndarray | None = None
) -> np.ndarray:
    """(G,) bool: images left out of the query's ranking: its identity in its own camera, and identity -1."""
    junk = gallery_ids == JUNK_IDENTITY
    if query_camera is not None and gallery_cameras is not None:
        junk = junk | ((gallery_ids == query_id) & (gallery_cameras == query_camera))
    return junk


def l2_normalize(features: np.ndarray) -> np.ndarray:
    """(n, C) float32 rows of length 1. Raises ValueError for rows of length zero or not finite."""
    features = np.asarray(features, dtype=np.float32)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(length) & (length > 0)))
    if len(bad):
        raise ValueError(f"feature {bad[0]} of {len(features)} is zero or not finite and cannot be normalised")
    return features / length


def _ranks(distance: np.ndarray, matches: np.ndarray) -> np.ndarray:
    """(m,) ascending 0-based ranks of the true matches in a stable ascending sort of `distance`.

    Nobody asks for the rank of the others, so nothing is sorted but the matches: the rank of each is the number of
    images before it. One vectorised comparison per match takes half the time of numpy's fastest sort of 17,661
    distances and a thirteenth of its stable sort.
    """
    places = np.flatnonzero(matches)
    ranks = [np.count_nonzero(distance < distance[i]) + np.count_nonzero(distance[:i] == distance[i]) for i in places]
    return np.sort(np.array(ranks))


def _check(distance: np.ndarray, people: np.ndarray, gallery_people: np.ndarray, max_rank: int) -> None:
    if distance.ndim != 2 or distance.shape != (people.size, gallery_people.size):
        raise ValueError(
            f"distances of shape {distance.shape} do not fit {people.size} queries and {gallery_people.size} gallery "
            "images: one row per query, one column per gallery image"
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
