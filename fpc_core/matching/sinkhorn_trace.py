"""Sinkhorn one scaling at a time, to look at; `sinkhorn.py` is what a search runs.

The iterates are the solver's: it too starts from g = 0 and fits the rows first. In the log domain and float64, so that
epsilon may be as small as one likes; a few hundred times slower.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np


class Fitted(StrEnum):
    """Which side of the plan was just made to carry its marginal."""

    NONE = "none"
    ROWS = "rows"
    COLUMNS = "columns"


@dataclass(frozen=True, eq=False)
class Scaling:
    """The state after one scaling; P = exp((f + g - cost) / epsilon) = diag(u) K diag(v), K = exp(-cost / epsilon).

    iteration: 0 for the kernel K itself, then one for every pair of a row and a column scaling.
    f: (M,), g: (N,) potentials, -inf where the marginal is zero.  plan: (M, N) float64.
    error: L1 error of the marginal that was not just fitted; at the start of both together.
    """

    iteration: int
    fitted: Fitted
    epsilon: float
    f: np.ndarray
    g: np.ndarray
    plan: np.ndarray
    error: float

    @property
    def u(self) -> np.ndarray:
        """(M,) scaling of the rows; may overflow to inf where epsilon is tiny."""
        return np.exp(self.f / self.epsilon)

    @property
    def v(self) -> np.ndarray:
        """(N,) scaling of the columns."""
        return np.exp(self.g / self.epsilon)


def scalings(cost: np.ndarray, a: np.ndarray, b: np.ndarray, epsilon: float) -> Iterator[Scaling]:
    """The kernel, then row and column scalings in turn, without end (Cuturi 2013).

    cost: (M, N); a: (M,) and b: (N,), non-negative, each with a sum of 1. Raises ValueError for anything else.
    """
    cost, a, b = (np.asarray(each, dtype=np.float64) for each in (cost, a, b))
    if cost.shape != (len(a), len(b)) or epsilon <= 0:
        raise ValueError(f"cost {cost.shape} must fit marginals of {len(a)} and {len(b)}, and epsilon be positive")
    for name, each in (("a", a), ("b", b)):
        if not (each.min() >= 0 and abs(each.sum() - 1) <= 1e-3):  # so that NaN does not pass
            raise ValueError(f"the marginal {name} must be non-negative and sum to 1; divide it by its sum")
    with np.errstate(divide="ignore"):
        log_a, log_b = np.log(a), np.log(b)
    f, g = np.where(a > 0, 0.0, -np.inf), np.where(b > 0, 0.0, -np.inf)

    def state(iteration: int, fitted: Fitted) -> Scaling:
        plan = np.exp((f[:, None] + g[None, :] - cost) / epsilon)
        off_rows, off_columns = np.abs(plan.sum(axis=1) - a).sum(), np.abs(plan.sum(axis=0) - b).sum()
        error = {Fitted.ROWS: off_columns, Fitted.COLUMNS: off_rows, Fitted.NONE: off_rows + off_columns}[fitted]
        return Scaling(iteration, fitted, epsilon, f, g, plan, float(error))

    yield state(0, Fitted.NONE)
    iteration = 0
    while True:
        iteration += 1
        f = epsilon * (log_a - _log_sum_exp((g[None, :] - cost) / epsilon, axis=1))
        yield state(iteration, Fitted.ROWS)
        g = epsilon * (log_b - _log_sum_exp((f[:, None] - cost) / epsilon, axis=0))
        yield state(iteration, Fitted.COLUMNS)


def _log_sum_exp(exponent: np.ndarray, axis: int) -> np.ndarray:
    """log of the sum of e^exponent along an axis; scipy's takes ten times as long on arrays this small."""
    peak = exponent.max(axis=axis, keepdims=True)  # finite: every row and column meets a patch of positive weight
    return peak.squeeze(axis) + np.log(np.exp(exponent - peak).sum(axis=axis))
