"""CMC and mAP under the Market-1501 protocol, as in the released evaluations of TransReID and FPC.

Gallery images of the query's identity taken by the query's camera are *junk*: they are removed before ranking, because
retrieving another frame of the same video is too easy. Pass None for the cameras of datasets without usable cameras
(Occluded-ReID), which have no such junk. Identity -1 marks badly detected boxes in Market-1501 and is junk for every
query. All other identities count. Market's distractors (identity 0) stay in the gallery as wrong answers, because no
query has identity 0.
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
    own_rows: ArrayLike | None = None,
) -> Scores:
    """Compute the CMC and the average precision of every query.

    The average precision of a query is the mean precision at the ranks of its true matches. It is NaN for a query
    without a true match, which the CMC excludes; `Scores.skipped` counts such queries.

    Args:
        distance: (Q, G) distances; equal distances rank in gallery order.
        query_ids: (Q,) integer identities of the queries.
        gallery_ids: (G,) integer identities of the gallery images.
        query_cameras: (Q,) integer cameras of the queries, or None for a dataset without cameras.
        gallery_cameras: (G,) integer cameras of the gallery images, or None for a dataset without cameras.
        max_rank: Maximum number of ranks in the CMC, which has min(max_rank, G).
        own_rows: (Q,) rows of the gallery images that are the queries themselves and never count, -1 for none; None if
            no query is in the gallery.

    Raises:
        ValueError: Shapes do not match, a distance is NaN, cameras are given for one side only, or no query has a true
            match.
    """
    distance = np.asarray(distance)
    identities, gallery_identities = np.asarray(query_ids), np.asarray(gallery_ids)
    _check(distance, identities, gallery_identities, max_rank)
    cameras, gallery_cameras = _cameras(query_cameras, gallery_cameras, distance.shape)

    own = np.full(len(identities), -1) if own_rows is None else np.asarray(own_rows)
    average_precision = np.full(len(identities), np.nan)
    first_match = np.full(len(identities), -1)
    for row in range(len(identities)):
        camera = None if cameras is None else int(cameras[row])
        matches = match_mask(identities[row], gallery_identities, camera, gallery_cameras, int(own[row]))
        if not matches.any():
            continue
        kept = ~junk_mask(identities[row], gallery_identities, camera, gallery_cameras, int(own[row]))
        if np.isnan(distance[row]).any():
            raise ValueError(f"the distances of query {row} contain NaN and cannot be ranked")
        ranks = _ranks(distance[row][kept], matches[kept])
        average_precision[row] = np.mean(np.arange(1, len(ranks) + 1) / (ranks + 1))
        first_match[row] = ranks[0]

    return summarise(average_precision, first_match, min(max_rank, distance.shape[1]))


def summarise(average_precision: np.ndarray, first_match: np.ndarray, ranks: int) -> Scores:
    """Combine the results of single queries into scores.

    Args:
        average_precision: (Q,) average precision, NaN without a true match.
        first_match: (Q,) 0-based rank of the first true match, -1 without one.
        ranks: Length of the CMC.

    Raises:
        ValueError: No query has a true match.
    """
    valid = first_match[first_match >= 0]
    if not len(valid):
        raise ValueError(
            "no query has a true match in the gallery; check that queries and gallery use the same identities and, "
            "if cameras are given, that people appear in more than one camera"
        )
    cmc = (valid[:, None] <= np.arange(ranks)).mean(axis=0)
    return Scores(cmc=cmc, average_precision=average_precision, first_match=first_match)


def match_mask(
    query_id: int,
    gallery_ids: np.ndarray,
    query_camera: int | None = None,
    gallery_cameras: np.ndarray | None = None,
    own: int = -1,
) -> np.ndarray:
    """Return which gallery images are true matches, that is, have the query's identity and are not junk.

    Args:
        query_id: Identity of the query.
        gallery_ids: (G,) integer identities of the gallery images.
        query_camera: Camera of the query, or None if unknown; then no image is junk because of its camera.
        gallery_cameras: (G,) integer cameras of the gallery images, or None if unknown.
        own: Row of the gallery image that is the query itself, -1 for none.

    Returns:
        (G,) bool. An image that is neither a true match nor junk is a wrong answer.
    """
    same = gallery_ids == query_id
    return same & ~junk_mask(query_id, gallery_ids, query_camera, gallery_cameras, own)


def junk_mask(
    query_id: int,
    gallery_ids: np.ndarray,
    query_camera: int | None = None,
    gallery_cameras: np.ndarray | None = None,
    own: int = -1,
) -> np.ndarray:
    """Return which gallery images are excluded from the query's ranking.

    These are images of the query's identity by the query's camera, images of identity -1, and the query itself.

    Args:
        query_id: Identity of the query.
        gallery_ids: (G,) integer identities of the gallery images.
        query_camera: Camera of the query, or None if unknown; then no image is junk because of its camera.
        gallery_cameras: (G,) integer cameras of the gallery images, or None if unknown.
        own: Row of the gallery image that is the query itself, -1 for none.

    Returns:
        (G,) bool.
    """
    junk = gallery_ids == JUNK_IDENTITY
    if query_camera is not None and gallery_cameras is not None:
        junk = junk | ((gallery_ids == query_id) & (gallery_cameras == query_camera))
    if own >= 0:
        junk[own] = True
    return junk


def l2_normalize(features: np.ndarray) -> np.ndarray:
    """Scale every row of `features`, (n, C), to length 1, as float32.

    Raises:
        ValueError: A row has length zero or is not finite.
    """
    features = np.asarray(features, dtype=np.float32)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(length) & (length > 0)))
    if len(bad):
        raise ValueError(
            f"feature {bad[0]} of {len(features)} is zero or not finite and cannot be normalised; "
            "check the model's weights"
        )
    return features / length


def _ranks(distance: np.ndarray, matches: np.ndarray) -> np.ndarray:
    """Return the ascending 0-based ranks (m,) of the true matches in a stable sort of `distance`.

    The rank of a match is counted as the number of images before it, without sorting all distances. For 17,661
    distances, one vectorised comparison per match is twice as fast as numpy's fastest sort and 13 times as fast as its
    stable sort.

    Args:
        distance: (n,) distances.
        matches: (n,) bool, whether an image is a true match.
    """
    positions = np.flatnonzero(matches)
    ranks = [
        np.count_nonzero(distance < distance[i]) + np.count_nonzero(distance[:i] == distance[i]) for i in positions
    ]
    return np.sort(np.array(ranks))


def _check(distance: np.ndarray, identities: np.ndarray, gallery_identities: np.ndarray, max_rank: int) -> None:
    if distance.ndim != 2 or distance.shape != (identities.size, gallery_identities.size):
        raise ValueError(
            f"distances must have one row per query and one column per gallery image, "
            f"({identities.size}, {gallery_identities.size}), got {distance.shape}"
        )
    if not distance.size:
        raise ValueError(
            f"at least one query and one gallery image are needed, got distances of shape {distance.shape}"
        )
    if max_rank < 1:
        raise ValueError(f"max_rank must be at least 1, got {max_rank}")


def _cameras(
    query: ArrayLike | None, gallery: ArrayLike | None, shape: tuple[int, ...]
) -> tuple[np.ndarray | None, np.ndarray | None]:
    if query is None and gallery is None:
        return None, None
    if query is None or gallery is None:
        missing = "query_cameras" if query is None else "gallery_cameras"
        raise ValueError(f"{missing} is None; pass the cameras of both queries and gallery, or of neither")
    query, gallery = np.asarray(query), np.asarray(gallery)
    if (query.size, gallery.size) != shape:
        raise ValueError(
            f"the numbers of query and gallery cameras must be the shape of the distances, {shape}, got "
            f"({query.size}, {gallery.size})"
        )
    return query, gallery
