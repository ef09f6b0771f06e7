"""Interface of the shortlist indexes (Eq. 4): plain torch, faiss or a Qdrant server.

An index only proposes candidates. `nearest` computes their D_cos from the stored `[cls]` tokens, so all exact indexes
return the same shortlist to the last bit. An approximate index may miss a candidate but never returns a wrong distance.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

import numpy as np
from torch import Tensor

from fpc_core.results import Shortlist

MARGIN = 1e-5  # This is larger than the rounding error of a cosine in float32.


class ShortlistError(ValueError):
    """The requested index is not available; the message says how to fix it."""


class IndexKind(StrEnum):
    """Allowed values of `FPC_SHORTLIST`."""

    TORCH = "torch"
    FAISS = "faiss"
    FAISS_IVF = "faiss-ivf"
    QDRANT = "qdrant"


class ShortlistIndex(Protocol):
    """An index that finds the gallery images nearest to a query.

    Attributes:
        exactness: "exact", or a description of an approximate index. Stored results are reused only if it is the same.
    """

    exactness: str

    def search(self, query_cls: Tensor, size: int) -> Shortlist:
        """Return the nearest gallery images, nearest first.

        Args:
            query_cls: (C,) `[cls]` token of the query.
            size: Number of images, or the size of the gallery if that is smaller.
        """
        ...


def nearest(query_cls: Tensor, cls: np.ndarray, rows: np.ndarray, size: int) -> Shortlist:
    """Return the `size` nearest of the given rows, nearest first; ties are in gallery order.

    D_cos is computed in float64, row by row, so that it does not depend on the other rows.

    Args:
        query_cls: (C,) `[cls]` token of the query.
        cls: (G, C) `[cls]` tokens of the gallery.
        rows: (S,) rows of `cls` to consider.
        size: Length of the shortlist, at most S.
    """
    rows = np.sort(np.asarray(rows, np.int64))
    query = query_cls.detach().double().cpu().numpy()
    tokens = np.asarray(cls[rows], np.float64)
    lengths = np.sqrt((tokens * tokens).sum(axis=1)) * np.sqrt((query * query).sum())
    distance = (1.0 - (tokens * query).sum(axis=1) / np.maximum(lengths, 1e-24)).astype(np.float32)
    order = np.argsort(distance, kind="stable")[:size]
    return Shortlist(rows[order], distance[order])
