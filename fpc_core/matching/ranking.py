"""Rank a shortlist by D (Eq. 10) or a gallery by feature, and find every alpha at which a shortlist's order changes."""

from __future__ import annotations

import numpy as np

from fpc_core.results import Ranking, Swap
from fpc_core.runtime.interruption import lazy_property

_ROUNDING = 16 * np.finfo(np.float64).eps  # Generous bound on the relative rounding error of D at a swap.


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


def rank_by_feature(
    query_feature: np.ndarray, gallery_unit_features: np.ndarray, left_out: int | None = None
) -> Ranking:
    """Rank the whole gallery by the Euclidean distance of L2-normalised features, as the released evaluation does.

    Args:
        query_feature: (C,) feature of the query, which need not be normalised.
        gallery_unit_features: (G, C) L2-normalised features of the gallery.
        left_out: Row that is not ranked, such as the query itself, or None.

    Returns:
        A ranking that is sorted when it is read, see `GalleryRanking`.

    Raises:
        ValueError: The query feature is zero or not finite.
    """
    length = np.linalg.norm(query_feature)
    if not np.isfinite(length) or length == 0:
        raise ValueError(
            "the query feature is zero or not finite and cannot be used for ranking; check the model's weights"
        )
    unit = (query_feature / length).astype(np.float32)
    distance = np.asarray(gallery_unit_features, np.float32) @ unit
    distance *= -2.0  # This line and the next two compute sqrt(max(0, 2 - 2 cosine)) in place.
    distance += 2.0
    np.sqrt(np.maximum(distance, 0.0, out=distance), out=distance)
    distance += 0.0  # This turns -0.0, whose bits are large, into 0.
    return GalleryRanking(distance, left_out)


class GalleryRanking(Ranking):
    """Ranking of a whole gallery that sorts only what is read.

    A full sort of half a million rows takes longer than everything else in a query. `first` selects the first ranks
    instead; `indices` and `distance` sort everything at their first use. Both give the same order: ties are in gallery
    order.
    """

    _by_row: np.ndarray
    _left_out: int | None

    def __init__(self, by_row: np.ndarray, left_out: int | None = None) -> None:
        """Create the ranking without sorting anything.

        Args:
            by_row: (G,) non-negative float32 distances in gallery order, without -0.0 and NaN.
            left_out: Row that is not ranked, or None.
        """
        object.__setattr__(self, "_by_row", by_row)
        object.__setattr__(self, "_left_out", left_out)

    def __sizeof__(self) -> int:
        """Include the arrays that are sorted later, because caches measure a result only when they store it."""
        return object.__sizeof__(self) + 12 * len(self._by_row)

    def __len__(self) -> int:
        return len(self._by_row) - (self._left_out is not None)

    @property
    def indices(self) -> np.ndarray:
        """Rows of the gallery memory, nearest first."""
        return self._sorted.indices

    @property
    def distance(self) -> np.ndarray:
        """Distances, ascending."""
        return self._sorted.distance

    def first(self, count: int) -> Ranking:
        """Return the first `count` ranks, the same ones as a full sort gives."""
        spare = count + (self._left_out is not None)
        if "_sorted" in self.__dict__ or spare >= len(self._by_row):
            return super().first(count)
        edge = np.partition(self._by_row, spare - 1)[spare - 1]
        rows = np.flatnonzero(self._by_row <= edge)
        return self._without_left_out(rows[np.argsort(self._by_row[rows], kind="stable")]).first(count)

    @lazy_property
    def _sorted(self) -> Ranking:
        # A stable sort takes as long as the matrix product. The bits of non-negative floats sort like the floats. With
        # the row number in the lower half, all keys differ, so that an unstable sort is sufficient.
        rows = np.arange(len(self._by_row), dtype=np.uint64)
        keys = self._by_row.view(np.uint32).astype(np.uint64) << np.uint64(32) | rows
        keys.sort()
        return self._without_left_out((keys & np.uint64(0xFFFFFFFF)).astype(np.int64))

    def _without_left_out(self, order: np.ndarray) -> Ranking:
        if self._left_out is not None:
            order = order[order != self._left_out]
        return Ranking(order, self._by_row[order])


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
