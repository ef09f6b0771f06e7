"""Percentile bootstrap: how much a score depends on the choice of people or of queries.

A score is a mean over Q queries. Queries of one person are alike, so people are resampled with all their queries by
default (the cluster bootstrap: Davison & Hinkley 1997, section 3.8). Resampling single queries treats them as
independent; its intervals are too narrow for new people. A sample has as many people, or queries, as the original,
drawn with replacement, and its score is the mean over its queries. The interval covers the middle share of the scores
of many samples (Efron & Tibshirani 1993, chapter 13). All scores of one evaluation use the same samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np

from fpc_core.bounds import bounded, check_bounds
from fpc_core.config import MAX_SEED


class Unit(StrEnum):
    """The units that the bootstrap draws."""

    PEOPLE = "people"  # Identities with all their queries.
    QUERIES = "queries"  # Single queries, as in release 0.1.0.


@dataclass(frozen=True)
class Bootstrap:
    """Settings of the bootstrap.

    Attributes:
        resamples: Number of samples.
        level: Share of the scores of the samples that the interval covers.
        seed: Seed of the sampling.
        unit: Whether people or queries are drawn.
    """

    resamples: int = bounded(2000, 1, 100_000)
    level: float = bounded(0.95, 0.0, 1.0, above=True, below=True)
    seed: int = bounded(0, 0, MAX_SEED)
    unit: Unit = Unit.PEOPLE

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class Estimate:
    """A score in [0, 1] with its bootstrap interval."""

    value: float
    low: float
    high: float


def estimates(values: np.ndarray, bootstrap: Bootstrap, people: np.ndarray) -> list[Estimate]:
    """Return the mean of each column with its bootstrap interval.

    Args:
        values: (Q, M) array with one row per query and one column per score.
        bootstrap: Settings of the bootstrap.
        people: (Q,) identity of every query; ignored if `bootstrap.unit` is QUERIES.

    Raises:
        ValueError: There are no queries, a value is not finite, or not every query has an identity.
    """
    if values.ndim != 2 or not len(values) or not np.isfinite(values).all():
        raise ValueError(
            f"values must be finite, with one row per query and one column per score, got shape {values.shape}"
        )
    if np.shape(people) != (len(values),):
        raise ValueError(f"people must have one identity per query, ({len(values)},), got shape {np.shape(people)}")
    units = np.arange(len(values)) if bootstrap.unit is Unit.QUERIES else _numbered(people)
    sizes = np.bincount(units).astype(np.float64)
    sums = np.stack([np.bincount(units, weights=column) for column in values.T], axis=1)
    counts = _resample_counts(len(sizes), bootstrap.resamples, bootstrap.seed)
    means = counts @ sums / (counts @ sizes)[:, None]
    outside = (1 - bootstrap.level) / 2
    low, high = np.quantile(means, (outside, 1 - outside), axis=0)
    return [Estimate(*each) for each in zip(values.mean(axis=0).tolist(), low.tolist(), high.tolist(), strict=True)]


def _numbered(people: np.ndarray) -> np.ndarray:
    """Number the people in order of their first query, and return the number of each query's person, (Q,)."""
    _, first, inverse = np.unique(people, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


@lru_cache(maxsize=2)
def _resample_counts(units: int, resamples: int, seed: int) -> np.ndarray:
    """Return how often each of R samples contains each of U units.

    Args:
        units: Number of units (U).
        resamples: Number of samples (R).
        seed: Seed of the sampling.

    Returns:
        (R, U) float64 counts, read-only.
    """
    samples = np.random.default_rng(seed).integers(units, size=(resamples, units))
    positions = samples + units * np.arange(resamples)[:, None]
    counts = np.bincount(positions.ravel(), minlength=resamples * units).reshape(resamples, units).astype(np.float64)
    counts.flags.writeable = False  # All callers share the cached array.
    return counts
