"""Error rates of verifying by a distance threshold whether two images show the same person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ErrorRates:
    """Error rates of accepting pairs whose distance is at most `threshold`.

    Attributes:
        threshold: Largest accepted distance.
        false_accept: Share of the pairs of different persons that are accepted.
        false_reject: Share of the pairs of the same person that are rejected.
    """

    threshold: float
    false_accept: float
    false_reject: float


@dataclass(frozen=True, eq=False)
class ErrorCurve:
    """Both error rates at every threshold where one of them changes.

    Attributes:
        thresholds: (t,) ascending thresholds; the first one is just below all distances and accepts nothing.
        false_accept: (t,) share of the pairs of different persons that are accepted.
        false_reject: (t,) share of the pairs of the same person that are rejected.
    """

    thresholds: np.ndarray
    false_accept: np.ndarray
    false_reject: np.ndarray

    def at(self, threshold: float) -> ErrorRates:
        """Return the error rates at a threshold."""
        index = max(0, int(np.searchsorted(self.thresholds, threshold, side="right")) - 1)
        return ErrorRates(threshold, float(self.false_accept[index]), float(self.false_reject[index]))

    @property
    def equal(self) -> ErrorRates:
        """Error rates at the lowest threshold where their difference is smallest."""
        index = int(np.argmin(np.abs(self.false_accept - self.false_reject)))
        return self.at(float(self.thresholds[index]))

    @property
    def equal_error(self) -> float:
        """Equal error rate: the mean of the two rates at `equal`."""
        return (self.equal.false_accept + self.equal.false_reject) / 2


def error_curve(same: np.ndarray, distance: np.ndarray) -> ErrorCurve:
    """Compute the error rates at every threshold.

    Args:
        same: (n,) bool, whether the pair shows the same person.
        distance: (n,) finite distances.

    Raises:
        ValueError: One kind of pair is missing, or a distance is not finite.
    """
    same, distance = np.asarray(same, bool), np.asarray(distance, np.float64)
    if same.shape != distance.shape or not np.isfinite(distance).all():
        raise ValueError(
            f"every pair needs one finite distance, got shapes {same.shape} and {distance.shape}, or NaN or Inf"
        )
    if same.all() or not same.any():
        raise ValueError("error rates need at least one pair of the same person and one pair of different persons")
    values = np.unique(distance)
    accepted = np.searchsorted(np.sort(distance[~same]), values, side="right") / np.count_nonzero(~same)
    recalled = np.searchsorted(np.sort(distance[same]), values, side="right") / np.count_nonzero(same)
    return ErrorCurve(
        np.concatenate([[np.nextafter(values[0], -np.inf)], values]),
        np.concatenate([[0.0], accepted]),
        np.concatenate([[1.0], 1.0 - recalled]),
    )


def histograms(same: np.ndarray, distance: np.ndarray, bins: int = 50) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count the distances of both kinds of pairs in common bins.

    Args:
        same: (n,) bool, whether the pair shows the same person.
        distance: (n,) finite distances.
        bins: Number of bins.

    Returns:
        Edges (bins + 1,), then the shares (bins,) of pairs of the same person and of different persons. The shares of
        each kind sum to 1, or are all zero if there are no such pairs.

    Raises:
        ValueError: There are no pairs.
    """
    if not len(distance):
        raise ValueError("there are no pairs to count")
    edges = np.histogram_bin_edges(distance, bins)
    counts = [np.histogram(distance[kind], edges)[0] for kind in (same, ~same)]
    return edges, counts[0] / max(1, counts[0].sum()), counts[1] / max(1, counts[1].sum())
