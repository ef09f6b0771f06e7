"""The ranking of a shortlist by D (Eq. 10), every alpha at which it changes, and the ranking by feature."""

from __future__ import annotations

import numpy as np

from fpc_core.results import Ranking, Swap


def combined_distance(d_cos: np.ndarray, d_emd: np.ndarray, alpha: float) -> np.ndarray:
    """D = (1 - alpha) D_cos + alpha D_EMD (Eq. 10): (S,), (S,) -> (S,) float64.

    Computed in float64: the swap points of `swap_alphas` and the order at them then agree to the last digit shown.
    """
    return (1.0 - alpha) * d_cos.astype(np.float64) + alpha * d_emd.astype(np.float64)


def rank(indices: np.ndarray, distance: np.ndarray) -> Ranking:
    """(S,) gallery rows by (S,) distance, nearest first; ties keep their order."""
    order = np.argsort(distance, kind="stable")
    return Ranking(np.asarray(indices)[order], np.asarray(distance)[order])


def rank_by_feature(query_feature: np.ndarray, gallery_unit_features: np.ndarray) -> Ranking:
    """The whole gallery by Euclidean distance of L2-normalised features, as the released evaluation does.

    query_feature: (C,); gallery_unit_features: (G, C), normalised already.
    Raises ValueError for a query feature that is zero or not finite.
    """
    length = np.linalg.norm(query_feature)
    if not np.isfinite(length) or length == 0:
        raise ValueError("a feature that is zero or not finite has no direction to rank by")
    unit = (query_feature / length).astype(np.float32)
    squared = 2.0 - 2.0 * (np.asarray(gallery_unit_features, np.float32) @ unit)
    distance = np.sqrt(np.maximum(squared, 0.0)) + np.float32(0.0)  # no -0.0, whose bits are the largest
    # A stable sort of half a million takes as long as the product of a wide feature. Bits of floats that are not
    # negative are ordered as the floats; with the row below them every key differs, and any sort is stable.
    keys = distance.view(np.uint32).astype(np.uint64) << np.uint64(32) | np.arange(len(distance), dtype=np.uint64)
    keys.sort()
    order = (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
    return Ranking(order, distance[order])


def swap_alphas(d_cos: np.ndarray, d_emd: np.ndarray, top: int | None = None) -> list[Swap]:
    """Every alpha in (0, 1) at which two candidates have equal D, ascending.

    D is a straight line in alpha: with c = D_cos_i - D_cos_j and e = D_EMD_i - D_EMD_j, the two meet at c / (c - e),
    which lies in (0, 1) exactly if c and e have opposite signs. d_cos, d_emd: (S,).
    top: only the swaps that change which candidates hold the first `top` ranks, or their order.
    """
    cos, emd = d_cos.astype(np.float64), d_emd.astype(np.float64)
    first, second = np.triu_indices(len(cos), k=1)
    c, e = cos[first] - cos[second], emd[first] - emd[second]
    crosses = c * e < 0
    first, second, c, e = first[crosses], second[crosses], c[crosses], e[crosses]
    alphas = c / (c - e)
    order = np.argsort(alphas, kind="stable")
    if top is not None:
        at = alphas[order, None]
        distance = (1 - at) * cos + at * emd  # (swaps, S)
        rows = np.arange(len(order))
        pair = first[order], second[order]
        meeting = np.minimum(distance[rows, pair[0]], distance[rows, pair[1]])
        nearer = distance < meeting[:, None]
        nearer[rows, pair[0]] = nearer[rows, pair[1]] = False
        order = order[nearer.sum(axis=1) < top]
    ahead, behind = np.where(c < 0, first, second), np.where(c < 0, second, first)  # at alpha 0 D is D_cos
    return [Swap(float(alphas[each]), int(ahead[each]), int(behind[each])) for each in order]
