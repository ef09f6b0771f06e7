"""Percentile bootstrap over queries: how much a score depends on the choice of queries.

A score is a mean over Q queries. Q queries are drawn with replacement many times; the interval covers the middle share
of the means (Efron & Tibshirani 1993, chapter 13). Every score of one evaluation uses the same draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fpc_core.bounds import bounded, check_bounds
from fpc_core.config import MAX_SEED


@dataclass(frozen=True)
class Bootstrap:
    """Settings of the bootstrap.

    Attributes:
        resamples: How often Q queries are drawn.
        level: Share of the means that the interval covers.
        seed: Of the draws.
    """

    resamples: int = bounded(2000, 1, 100_000)
    level: float = bounded(0.95, 0.0, 1.0, above=True, below=True)
    seed: int = bounded(0, 0, MAX_SEED)

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class Estimate:
    """A score in [0, 1] with its interval."""

    value: float
    low: float
    high: float


def estimates(values: np.ndarray, bootstrap: Bootstrap) -> list[Estimate]:
    """Return mean and interval of each column.

    Args:
        values: (Q, M), one row per query and one column per score.
        bootstrap: Settings.

    Raises:
        ValueError: There are no queries, or a value is not finite.
    """
    if values.ndim != 2 or not len(values) or not np.isfinite(values).all():
        raise ValueError(f"the bootstrap needs finite values (queries, scores), not an array of shape {values.shape}")
    means = _resample_counts(len(values), bootstrap.resamples, bootstrap.seed) @ values / len(values)
    outside = (1 - bootstrap.level) / 2
    low, high = np.quantile(means, (outside, 1 - outside), axis=0)
    return [Estimate(*each) for each in zip(values.mean(axis=0).tolist(), low.tolist(), high.tolist(), strict=True)]


@lru_cache(maxsize=2)
def _resample_counts(queries: int, resamples: int, seed: int) -> np.ndarray:
    """Return how often each query was drawn, (R, Q) float64."""
    samples = np.random.default_rng(seed).integers(queries, size=(resamples, queries))
    positions = samples + queries * np.arange(resamples)[:, None]
    counts = (
        np.bincount(positions.ravel(), minlength=resamples * queries).reshape(resamples, queries).astype(np.float64)
    )
    counts.flags.writeable = False  # cached and shared
    return counts
