"""Compute Sinkhorn one scaling at a time, for display; searches use `sinkhorn.py`.

The iterates equal those of the solver: both start from g = 0 and fit the rows first. This version works in the log
domain and in float64, so that epsilon may be very small. It is a few hundred times slower than the solver.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np


class FittedSide(StrEnum):
    """Side of the plan whose marginal was fitted last."""

    NONE = "none"
    ROWS = "rows"
    COLUMNS = "columns"


@dataclass(frozen=True, eq=False)
class Scaling:
    """State after one scaling, with P = exp((f + g - cost) / epsilon) = diag(u) K diag(v) and K = exp(-cost / epsilon).

    Attributes:
        iteration: 0 for the kernel K itself; each later iteration has a row scaling and a column scaling.
        fitted: Side whose marginal was fitted last.
        epsilon: Weight of the entropy term.
        f: (M,) potential, -inf where the marginal is zero.
        g: (N,) potential, -inf where the marginal is zero.
        plan: (M, N) float64 plan P.
        error: L1 error of the marginal that was not fitted last; at iteration 0, the sum of both L1 errors.
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
        """Scaling of the rows, (M,); it may overflow to inf if epsilon is very small."""
        return np.exp(self.f / self.epsilon)

    @property
    def v(self) -> np.ndarray:
        """Scaling of the columns, (N,); it may overflow to inf if epsilon is very small."""
        return np.exp(self.g / self.epsilon)


def scalings(cost: np.ndarray, a: np.ndarray, b: np.ndarray, epsilon: float) -> Iterator[Scaling]:
    """Yield the kernel, then alternating row and column scalings without end (Cuturi 2013).

    Args:
        cost: (M, N) ground cost.
        a: (M,) query marginal, non-negative, with a sum of 1.
        b: (N,) gallery marginal, non-negative, with a sum of 1.
        epsilon: Weight of the entropy term, positive.

    Raises:
        ValueError: The shapes do not match, `epsilon` is not positive, or a marginal is negative or does not sum to 1.
    """
    cost, a, b = (np.asarray(each, dtype=np.float64) for each in (cost, a, b))
    if cost.shape != (len(a), len(b)) or epsilon <= 0:
        raise ValueError(
            f"cost must have the shape of the marginals ({len(a)}, {len(b)}), got {cost.shape}; "
            f"epsilon must be positive, got {epsilon}"
        )
    for name, each in (("a", a), ("b", b)):
        if not (each.min() >= 0 and abs(each.sum() - 1) <= 1e-3):  # The condition is negated so that NaN is refused.
            raise ValueError(
                f"the marginal {name} must be non-negative and sum to 1, got a minimum of {each.min():g} and a sum of "
                f"{each.sum():g}; divide it by its sum"
            )
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
    """Return the log of the sum of e^exponent along an axis; for small arrays, this is ten times faster than scipy."""
    peak = exponent.max(axis=axis, keepdims=True)  # It is finite, because each marginal has a positive weight.
    return peak.squeeze(axis) + np.log(np.exp(exponent - peak).sum(axis=axis))
