"""k-reciprocal re-ranking (Zhong et al., CVPR 2017) with the released code's k1, k2 and lambda.

All N = Q + G images are compared with each other. Each image is described by a sparse vector that weights, by distance,
those of its k1 nearest neighbours that also have it among their k1 nearest (Eq. 2 to 5 of that paper). Two images are
near if their vectors overlap. This Jaccard distance (Eq. 10) is blended with the original distance (Eq. 12).

The released code stores these vectors in float16 and adds up their overlaps one by one. Its sums are off by up to
0.003, which is enough to swap neighbours. This module uses float32; `released_rounding` reproduces the rounding of the
released code.

Unlike the released code, this module never allocates an N x N array. Distances are computed in blocks of rows,
membership is a sparse matrix of at most a few hundred entries per row, and sets are combined by matrix operations: with
rows as sets, `A.multiply(A.T)` keeps the mutual pairs and `A @ B.T` counts intersections. For Q = 2,210, G = 17,661
and 768 channels, the process needs up to 1.2 GiB and about 20 s on one core (measured).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from scipy import sparse

from fpc_core.evaluation.metrics.retrieval import l2_normalize

FloatType = type[np.float16] | type[np.float32]

_BLOCK = 512  # Number of rows of distances computed at a time; they use 39 MiB at N = 19,871.


def k_reciprocal(
    query_features: np.ndarray,
    gallery_features: np.ndarray,
    k1: int = 50,
    k2: int = 15,
    weight: float = 0.3,
    *,
    released_rounding: bool = False,
) -> np.ndarray:
    """Re-rank a gallery for all queries.

    Args:
        query_features: (Q, C) features. They are L2-normalised here, as in the released evaluation.
        gallery_features: (G, C) features. They are L2-normalised here, too.
        k1: Number of neighbours in each neighbourhood.
        k2: Number of neighbours that are averaged in the local query expansion.
        weight: Lambda, the share of the original distance (squared Euclidean, each row divided by its maximum over all
            N).
        released_rounding: Whether to round as the released code does.

    Returns:
        (Q, G) float32 distances in [0, 1]; smaller is nearer.

    Raises:
        ValueError: An argument is out of range, channels differ, or features cannot be normalised.
    """
    if k1 < 1 or k2 < 1 or not 0 <= weight <= 1:
        raise ValueError(f"k1 and k2 must be at least 1 and weight in [0, 1], got {k1}, {k2} and {weight}")
    if np.shape(query_features)[1:] != np.shape(gallery_features)[1:]:
        raise ValueError(
            f"query features {np.shape(query_features)} and gallery features {np.shape(gallery_features)} "
            "must have the same number of channels"
        )
    features = np.concatenate([l2_normalize(query_features), l2_normalize(gallery_features)])
    queries = len(query_features)
    precision = np.float16 if released_rounding else np.float32
    nearest, farthest = _nearest(features, max(k1 + 1, k2))
    encoding = _weighted(_neighborhoods(nearest, k1), features, farthest, precision)
    encoding = _memberships(nearest[:, :k2]) @ encoding  # Local query expansion (Eq. 11).
    encoding.data = _rounded(encoding.data / min(k2, len(features)), precision)
    result = (_jaccard(encoding, queries, precision) * precision(1 - weight)).astype(np.float32)
    for rows, distance in _distances(features, queries):  # Blend with the original distance (Eq. 12).
        result[rows] += weight * distance[:, queries:] / farthest[rows, None]
    return result


def _distances(features: np.ndarray, stop: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield squared Euclidean distances to all images in blocks of rows.

    Args:
        features: (N, C) L2-normalised features.
        stop: Number of rows to process, from the first.

    Yields:
        The rows of a block, and their (n, N) float32 distances.
    """
    everything = torch.from_numpy(features)
    for start in range(0, stop, _BLOCK):
        rows = slice(start, min(start + _BLOCK, stop))
        yield rows, (2 - 2 * everything[rows] @ everything.T).clamp_(min=0).numpy()


def _nearest(features: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest images of each image, including itself, and its largest distance.

    Args:
        features: (N, C) L2-normalised features.
        count: Number of images to return for each image; N if there are fewer images.

    Returns:
        (N, count) int64 indices, and (N,) float32 squared distances.
    """
    count = min(count, len(features))
    nearest = np.empty((len(features), count), dtype=np.int64)
    farthest = np.empty(len(features), dtype=np.float32)
    for rows, distance in _distances(features, len(features)):
        nearest[rows] = torch.from_numpy(distance).topk(count, largest=False).indices
        farthest[rows] = distance.max(axis=1)
    # If all images are alike, dividing by the smallest positive number gives 0 and not NaN.
    return nearest, np.maximum(farthest, np.finfo(np.float32).tiny)


def _memberships(sets: np.ndarray) -> sparse.csr_array:
    """Return the (N, N) 0/1 matrix of N sets given as (N, k) distinct indices: row i is 1 at the columns `sets[i]`."""
    count, size = sets.shape
    starts = np.arange(0, count * size + 1, size)
    return sparse.csr_array((np.ones(count * size, np.float32), sets.ravel(), starts), shape=(count, count))


def _mutual(nearest: np.ndarray) -> sparse.csr_array:
    """Return an (N, N) 0/1 matrix; row i marks the neighbours of i that also have i as a neighbour (Eq. 3)."""
    neighbors = _memberships(nearest)
    return neighbors.multiply(neighbors.T).tocsr()


def _neighborhoods(nearest: np.ndarray, k1: int) -> sparse.csr_array:
    """Return the k1-reciprocal neighbours of each image, extended by those of neighbours that overlap enough (Eq. 5).

    Args:
        nearest: (N, n) indices of the nearest images of each image, including itself; n is at least min(k1 + 1, N).
        k1: Number of neighbours in each neighbourhood.

    Returns:
        (N, N) matrix whose non-zero entries in row i mark the neighbours of image i.
    """
    mutual = _mutual(nearest[:, : k1 + 1])
    half = _mutual(nearest[:, : round(k1 / 2) + 1])
    shared = mutual.multiply(mutual @ half.T).tocoo()  # Size of mutual(i) ∩ half(j) for each j in mutual(i).
    accepted = 3 * shared.data > 2 * half.sum(axis=1)[shared.col]  # More than 2/3 of half(j), in integer arithmetic.
    voters = sparse.csr_array((shared.data[accepted], (shared.row[accepted], shared.col[accepted])), shape=mutual.shape)
    return (mutual + voters @ half).tocsr()


def _weighted(
    neighborhoods: sparse.csr_array, features: np.ndarray, farthest: np.ndarray, precision: FloatType
) -> sparse.csr_array:
    """Return the vectors that describe the images: exp(-distance) to each neighbour, scaled to sum to 1 (Eq. 7).

    Args:
        neighborhoods: (N, N) matrix from `_neighborhoods`.
        features: (N, C) L2-normalised features.
        farthest: (N,) largest squared distance of each image, by which its distances are divided.
        precision: Type to whose precision the weights are rounded.
    """
    starts, columns = neighborhoods.indptr, neighborhoods.indices
    weights = np.empty(len(columns), dtype=np.float32)
    for rows, distance in _distances(features, len(features)):
        entries = slice(starts[rows.start], starts[rows.stop])
        row = np.repeat(np.arange(len(distance)), np.diff(starts[rows.start : rows.stop + 1]))
        weight = np.exp(-distance[row, columns[entries]] / farthest[rows][row])
        weights[entries] = _rounded(weight / np.bincount(row, weight)[row], precision)
    return sparse.csr_array((weights, columns, starts), shape=neighborhoods.shape)


def _jaccard(encoding: sparse.csr_array, queries: int, precision: FloatType) -> np.ndarray:
    """Return Jaccard distances between queries and gallery: 1 - sum of minima / sum of maxima (Eq. 10).

    Args:
        encoding: (N, N) vectors of all images, queries first; rows sum to 1.
        queries: Number of queries (Q).
        precision: Type in which the minima are added up.

    Returns:
        (Q, G) distances of type `precision`.
    """
    gallery = encoding.shape[0] - queries
    encoding.sort_indices()
    lists = encoding[queries:].T.tocsr()  # Row i lists the gallery images whose vectors include image i.
    overlap = np.zeros((queries, gallery), precision)
    for row in range(queries):
        for entry in range(encoding.indptr[row], encoding.indptr[row + 1]):
            voter = encoding.indices[entry]
            described = slice(lists.indptr[voter], lists.indptr[voter + 1])
            shared = np.minimum(lists.data[described], encoding.data[entry])
            overlap[row, lists.indices[described]] += shared.astype(precision)
    return 1 - overlap / (2 - overlap)


def _rounded(values: np.ndarray, precision: FloatType) -> np.ndarray:
    """Round float32 values to `precision` and back, since sparse matrices have no float16."""
    return values.astype(precision).astype(np.float32)
