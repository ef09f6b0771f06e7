"""Rank a shortlist by D (Eq. 10) or a gallery by feature, and find every alpha at which a shortlist's order changes."""

from __future__ import annotations

import numpy as np

from fpc_core.results import Ranking, Swap

_ROUNDING = 16 * np.finfo(np.float64).eps  # Bound on the relative error of D at a swap, with room to spare.


def combined_distance(d_cos: np.ndarray, d_emd: np.ndarray, alpha: float) -> np.ndarray:
    """Return D = (1 - alpha) D_cos + alpha D_EMD (Eq. 10).

    It is computed in float64, so that the ranking changes exactly at the values that `swap_alphas` returns.

    Args:
        d_cos: (S,) cosine distances.
        d_emd: (S,) transport distances.
        alpha: Weight of D_EMD, in [0, 1].

    Returns:
        (S,) float64 distances.
    """
    return (1.0 - alpha) * d_cos.astype(np.float64) + alpha * d_emd.astype(np.float64)


def rank(indices: np.ndarray, distance: np.ndarray) -> Ranking:
    """Sort gallery rows by distance, nearest first; ties keep their order.

    Args:
        indices: (S,) gallery rows.
        distance: (S,) distances of these rows.
    """
    order = np.argsort(distance, kind="stable")
    return Ranking(np.asarray(indices)[order], np.asarray(distance)[order])


def rank_by_feature(query_feature: np.ndarray, gallery_unit_features: np.ndarray) -> Ranking:
    """Rank the whole gallery by the Euclidean distance of L2-normalised features, as the released evaluation does.

    Args:
        query_feature: (C,) feature of the query, which need not be normalised.
        gallery_unit_features: (G, C) L2-normalised features of the gallery.

    Raises:
        ValueError: The query feature is zero or not finite.
    """
    length = np.linalg.norm(query_feature)
    if not np.isfinite(length) or length == 0:
        raise ValueError(
            "the query feature is zero or not finite and cannot be used for ranking; check the model's weights"
        )
    unit = (query_feature / length).astype(np.float32)
    squared = 2.0 - 2.0 * (np.asarray(gallery_unit_features, np.float32) @ unit)
    distance = np.sqrt(np.maximum(squared, 0.0)) + np.float32(0.0)  # Adding 0 turns -0.0, whose bits are large, into 0.
    # A stable sort of half a million rows takes as long as the matrix product. The bits of non-negative floats sort
    # like the floats. With the row number in the lower half, all keys differ, so that an unstable sort is sufficient.
    keys = distance.view(np.uint32).astype(np.uint64) << np.uint64(32) | np.arange(len(distance), dtype=np.uint64)
    keys.sort()
    order = (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
    return Ranking(order, distance[order])


def swap_alphas(d_cos: np.ndarray, d_emd: np.ndarray, top: int | None = None) -> list[Swap]:
    """Return every alpha in (0, 1) at which two candidates have equal D, ascending.

    D is linear in alpha: with c = D_cos_i - D_cos_j and e = D_EMD_i - D_EMD_j, the two lines meet at c / (c - e), which
    is in (0, 1) exactly if c and e have opposite signs.

    Args:
        d_cos: (S,) cosine distances.
        d_emd: (S,) transport distances.
        top: If given, return only the swaps that change the first `top` ranks or their order.
    """
    cos, emd = d_cos.astype(np.float64), d_emd.astype(np.float64)
    first, second = np.triu_indices(len(cos), k=1)
    c, e = cos[first] - cos[second], emd[first] - emd[second]
    crosses = c * e < 0
    first, second, c, e = first[crosses], second[crosses], c[crosses], e[crosses]
    alphas = c / (c - e)
    order = np.argsort(alphas, kind="stable")
    if top is not None:
        alpha = alphas[order, None]
        distance = (1 - alpha) * cos + alpha * emd  # Shape (swaps, S).
        rows = np.arange(len(order))
        pair = first[order], second[order]
        meeting = np.minimum(distance[rows, pair[0]], distance[rows, pair[1]])
        # Where three lines meet in one point, rounding must not put the third line ahead of the other two.
        meeting -= _ROUNDING * max(np.abs(cos).max(), np.abs(emd).max())
        nearer = distance < meeting[:, None]
        nearer[rows, pair[0]] = nearer[rows, pair[1]] = False
        order = order[nearer.sum(axis=1) < top]
    # D equals D_cos at alpha 0, so the candidate with the smaller D_cos is ahead below the swap.
    ahead, behind = np.where(c < 0, first, second), np.where(c < 0, second, first)
    return [Swap(float(alphas[each]), int(ahead[each]), int(behind[each])) for each in order]
