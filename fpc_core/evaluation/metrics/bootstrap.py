"""Percentile bootstrap over queries: how much a score depends on the choice of queries.

A score is a mean over Q queries. Q queries are sampled with replacement many times, and the interval covers the middle
share of the means (Efron & Tibshirani 1993, chapter 13). All scores of one evaluation use the same samples.
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
        resamples: Number of samples of Q queries.
        level: Share of the means that the interval covers.
        seed: Seed of the sampling.
    """

    resamples: int = bounded(2000, 1, 100_000)
    level: float = bounded(0.95, 0.0, 1.0, above=True, below=True)
    seed: int = bounded(0, 0, MAX_SEED)

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class Estimate:
    """A score in [0, 1] with its bootstrap interval."""

    value: float
    low: float
    high: float


def estimates(values: np.ndarray, bootstrap: Bootstrap) -> list[Estimate]:
    """Return the mean of each column with its bootstrap interval.

    Args:
        values: (Q, M) array with one row per query and one column per score.
        bootstrap: Settings of the bootstrap.

    Raises:
        ValueError: There are no queries, or a value is not finite.
    """
    if values.ndim != 2 or not len(values) or not np.isfinite(values).all():
        raise ValueError(
            f"values must be finite, with one row per query and one column per score, got shape {values.shape}"
        )
    means = _resample_counts(len(values), bootstrap.resamples, bootstrap.seed) @ values / len(values)
    outside = (1 - bootstrap.level) / 2
    low, high = np.quantile(means, (outside, 1 - outside), axis=0)
    return [Estimate(*each) for each in zip(values.mean(axis=0).tolist(), low.tolist(), high.tolist(), strict=True)]


@lru_cache(maxsize=2)
def _resample_counts(queries: int, resamples: int, seed: int) -> np.ndarray:
    """Return how often each sample contains each query, (R, Q) float64."""
    samples = np.random.default_rng(seed).integers(queries, size=(resamples, queries))
    positions = samples + queries * np.arange(resamples)[:, None]
    counts = (
        np.bincount(positions.ravel(), minlength=resamples * queries).reshape(resamples, queries).astype(np.float64)
    )
    counts.flags.writeable = False  # All callers share the cached array.
    return counts
