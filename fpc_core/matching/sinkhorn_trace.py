"""Sinkhorn one scaling at a time, for display; a search uses `sinkhorn.py`.

The iterates are the solver's: both start from g = 0 and fit the rows first. This version works in the log domain and in
float64, so that epsilon may be very small; it is a few hundred times slower.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np


class FittedSide(StrEnum):
    """The side of the plan whose marginal was just fitted."""

    NONE = "none"
    ROWS = "rows"
    COLUMNS = "columns"


@dataclass(frozen=True, eq=False)
class Scaling:
    """The state after one scaling; P = exp((f + g - cost) / epsilon) = diag(u) K diag(v), K = exp(-cost / epsilon).

    Attributes:
        iteration: 0 for the kernel K itself, then one for every pair of a row and a column scaling.
        fitted: The side that was just fitted.
        epsilon: Weight of the entropy.
        f: (M,) potential, -inf where the marginal is zero.
        g: (N,) potential, -inf where the marginal is zero.
        plan: (M, N) float64.
        error: L1 error of the marginal that was not just fitted; at the start, of both marginals together.
    """

    iteration: int
    fitted: FittedSide
    epsilon: float
    f: np.ndarray
    g: np.ndarray
    plan: np.ndarray
    error: float

    @property
    def u(self) -> np.ndarray:
        """Return the (M,) scaling of the rows; may overflow to inf where epsilon is tiny."""
        return np.exp(self.f / self.epsilon)

    @property
    def v(self) -> np.ndarray:
        """Return the (N,) scaling of the columns."""
        return np.exp(self.g / self.epsilon)


def scalings(cost: np.ndarray, a: np.ndarray, b: np.ndarray, epsilon: float) -> Iterator[Scaling]:
    """Yield the kernel, then row and column scalings in turn, without end (Cuturi 2013).

    Args:
        cost: (M, N).
        a: (M,) query marginal, non-negative, with a sum of 1.
        b: (N,) gallery marginal, likewise.
        epsilon: Weight of the entropy, positive.

    Raises:
        ValueError: Shapes or values do not meet these conditions.
    """
    cost, a, b = (np.asarray(each, dtype=np.float64) for each in (cost, a, b))
    if cost.shape != (len(a), len(b)) or epsilon <= 0:
        raise ValueError(
            f"cost must have the shape of the marginals ({len(a)}, {len(b)}), got {cost.shape}; "
            f"epsilon must be positive, got {epsilon}"
        )
    for name, each in (("a", a), ("b", b)):
        if not (each.min() >= 0 and abs(each.sum() - 1) <= 1e-3):  # so that NaN does not pass
            raise ValueError(f"the marginal {name} must be non-negative and sum to 1; divide it by its sum")
    with np.errstate(divide="ignore"):
        log_a, log_b = np.log(a), np.log(b)
    f, g = np.where(a > 0, 0.0, -np.inf), np.where(b > 0, 0.0, -np.inf)

    def state(iteration: int, fitted: FittedSide) -> Scaling:
        plan = np.exp((f[:, None] + g[None, :] - cost) / epsilon)
        off_rows, off_columns = np.abs(plan.sum(axis=1) - a).sum(), np.abs(plan.sum(axis=0) - b).sum()
        error = {FittedSide.ROWS: off_columns, FittedSide.COLUMNS: off_rows, FittedSide.NONE: off_rows + off_columns}[
            fitted
        ]
        return Scaling(iteration, fitted, epsilon, f, g, plan, float(error))

    yield state(0, FittedSide.NONE)
    iteration = 0
    while True:
        iteration += 1
        f = epsilon * (log_a - _log_sum_exp((g[None, :] - cost) / epsilon, axis=1))
        yield state(iteration, FittedSide.ROWS)
        g = epsilon * (log_b - _log_sum_exp((f[:, None] - cost) / epsilon, axis=0))
        yield state(iteration, FittedSide.COLUMNS)


def _log_sum_exp(exponent: np.ndarray, axis: int) -> np.ndarray:
    """Return the log of the sum of e^exponent along an axis; scipy's takes ten times as long on arrays this small."""
    peak = exponent.max(axis=axis, keepdims=True)  # finite: every row and column has a patch of positive weight
    return peak.squeeze(axis) + np.log(np.exp(exponent - peak).sum(axis=axis))
