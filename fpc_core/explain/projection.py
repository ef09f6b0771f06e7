"""Project features to two dimensions by principal component analysis (PCA) with scikit-learn.

Unlike UMAP, PCA projects new queries exactly and provides the share of the variance that the projection preserves. It
takes 0.1 s for 5,000 images on one core, whereas UMAP takes over a minute.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class FlatMap:
    """A fitted projection.

    Attributes:
        mean: (C,) mean of the fitted features.
        axes: (2, C) principal axes.
        explained: Share of the variance that each axis explains.
    """

    mean: np.ndarray
    axes: np.ndarray
    explained: tuple[float, float]

    def project(self, features: np.ndarray) -> np.ndarray:
        """Project (n, C) features, L2-normalised like the fitted ones, to (n, 2) coordinates."""
        return (features - self.mean) @ self.axes.T


def flat_map(features: np.ndarray) -> FlatMap:
    """Fit the projection to features. The same features always give the same map.

    Args:
        features: (n, C) L2-normalised features; n and C must be at least 2.

    Raises:
        ValueError: There are fewer than 2 features or channels.
    """
    if features.ndim != 2 or min(features.shape) < 2:
        raise ValueError(f"features must have at least 2 rows and 2 columns, got shape {features.shape}")
    with np.errstate(invalid="ignore"):  # Equal features have zero variance, so PCA divides 0 by 0.
        from sklearn.decomposition import PCA  # The import takes 0.5 s, so it is deferred until a map is drawn.

        fitted = PCA(2, svd_solver="covariance_eigh").fit(features)
    shares = np.nan_to_num(fitted.explained_variance_ratio_)
    return FlatMap(fitted.mean_, fitted.components_, (float(shares[0]), float(shares[1])))


def map_rows(total: int, always: np.ndarray, limit: int, seed: int = 0) -> np.ndarray:
    """Choose the rows to draw, in ascending order.

    These are all rows if there are at most `limit`, otherwise `always` and a random sample of the others.

    Args:
        total: Number of rows.
        always: Rows that are always included.
        limit: Maximum number of rows, unless `always` has more.
        seed: Seed of the random sample.
    """
    if total <= limit:
        return np.arange(total)
    rest = np.setdiff1d(np.arange(total), always)
    sampled = np.random.default_rng(seed).choice(rest, max(0, limit - len(np.unique(always))), replace=False)
    return np.union1d(always, sampled)
