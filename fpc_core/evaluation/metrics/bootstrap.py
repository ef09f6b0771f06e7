"""Percentile bootstrap over queries: how far a score might have come out otherwise with other queries.

A score is a mean over Q queries. Q of them are drawn with replacement, again and again; the interval holds the middle
share of the means (Efron & Tibshirani 1993, chapter 13). Every score of one evaluation sees the same draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fpc_core.bounds import bounded, check_bounds
from fpc_core.config import MAX_SEED


@dataclass(frozen=True)
class Bootstrap:
    """resamples: how often all queries are drawn.  level: the share of the means that the interval holds."""

    resamples: int = bounded(2000, 1, 100_000)
    level: float = bounded(0.95, 0.0, 1.0, above=True, below=True)
    seed: int = bounded(0, 0, MAX_SEED)

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class Estimate:
    """A score as a fraction, and its interval."""

    value: float
    low: float
    high: float


def estimates(values: np.ndarray, bootstrap: Bootstrap) -> list[Estimate]:
    """Mean and interval of each column of `values` (Q, M). Raises ValueError for no queries and for NaN."""
    if values.ndim != 2 or not len(values) or not np.isfinite(values).all():
        raise ValueError(f"the bootstrap needs finite values (queries, scores), not an array of shape {values.shape}")
    means = _draws(len(values), bootstrap.resamples, bootstrap.seed) @ values / len(values)
    outside = (1 - bootstrap.level) / 2
    low, high = np.quantile(means, (outside, 1 - outside), axis=0)
    return [Estimate(*each) for each in zip(values.mean(axis=0).tolist(), low.tolist(), high.tolist(), strict=True)]


@lru_cache(maxsize=2)
def _draws(queries: int, resamples: int, seed: int) -> np.ndarray:
    """(R, Q) float64: how often each query was drawn."""
    drawn = np.random.default_rng(seed).integers(queries, size=(resamples, queries))
    places = drawn + queries * np.arange(resamples)[:, None]
    counts = np.bincount(places.ravel(), minlength=resamples * queries).reshape(resamples, queries).astype(np.float64)
    counts.flags.writeable = False  # shared by all who ask
    return counts
