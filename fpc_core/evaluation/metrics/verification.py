"""Verification by a threshold: pairs no further apart than it are taken for one person, and how often that is wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ErrorRates:
    """At `threshold` a pair is accepted if its distance is not larger.

    false_accept: share of the pairs of two persons that are accepted.  false_reject: share of the pairs of one person
    that are not.
    """

    threshold: float
    false_accept: float
    false_reject: float


@dataclass(frozen=True, eq=False)
class ErrorCurve:
    """Both rates at every threshold where one of them changes: (t,) each, thresholds ascending.

    The first threshold lies just below all distances and accepts nothing.
    """

    thresholds: np.ndarray
    false_accept: np.ndarray
    false_reject: np.ndarray

    def at(self, threshold: float) -> ErrorRates:
        """The rates at any threshold."""
        place = max(0, int(np.searchsorted(self.thresholds, threshold, side="right")) - 1)
        return ErrorRates(threshold, float(self.false_accept[place]), float(self.false_reject[place]))

    @property
    def equal(self) -> ErrorRates:
        """Where the two rates are nearest to each other, at the lowest such threshold."""
        place = int(np.argmin(np.abs(self.false_accept - self.false_reject)))
        return self.at(float(self.thresholds[place]))

    @property
    def equal_error(self) -> float:
        """The mean of the two rates there."""
        return (self.equal.false_accept + self.equal.false_reject) / 2


def error_curve(same: np.ndarray, distance: np.ndarray) -> ErrorCurve:
    """same: (n,) bool, the pair shows one person; distance: (n,) finite.

    Raises ValueError without a pair of either kind, or for a distance that is not finite.
    """
    same, distance = np.asarray(same, bool), np.asarray(distance, np.float64)
    if same.shape != distance.shape or not np.isfinite(distance).all():
        raise ValueError("every pair needs one finite distance")
    if same.all() or not same.any():
        raise ValueError("error rates need at least one pair of one person and one pair of two")
    values = np.unique(distance)
    accepted = np.searchsorted(np.sort(distance[~same]), values, side="right") / np.count_nonzero(~same)
    found = np.searchsorted(np.sort(distance[same]), values, side="right") / np.count_nonzero(same)
    return ErrorCurve(
        np.concatenate([[np.nextafter(values[0], -np.inf)], values]),
        np.concatenate([[0.0], accepted]),
        np.concatenate([[1.0], 1.0 - found]),
    )


def histograms(same: np.ndarray, distance: np.ndarray, bins: int = 50) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges (bins + 1,), and the shares (bins,) of the pairs of one person and of two in each bin; each sums to 1.

    All zero for a kind without pairs. Raises ValueError for no pairs at all.
    """
    if not len(distance):
        raise ValueError("no pairs, no histogram")
    edges = np.histogram_bin_edges(distance, bins)
    counts = [np.histogram(distance[kind], edges)[0] for kind in (same, ~same)]
    return edges, counts[0] / max(1, counts[0].sum()), counts[1] / max(1, counts[1].sum())
