"""Who finds the shortlist (Eq. 4): plain torch, faiss or a Qdrant server, behind one small interface.

Whoever finds the candidates, their D_cos is computed by `nearest` from the `[cls]` tokens as stored. Exact indexes
therefore give the same shortlist to the last bit; approximate ones may miss a candidate, never misjudge one.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

import numpy as np
from torch import Tensor

from fpc_core.results import Shortlist

MARGIN = 1e-5  # wider than float32 rounds a cosine


class ShortlistError(ValueError):
    """The index that was asked for cannot be had; the message names the remedy."""


class IndexKind(StrEnum):
    """What `FPC_SHORTLIST` can be."""

    TORCH = "torch"
    FAISS = "faiss"
    FAISS_IVF = "faiss-ivf"
    QDRANT = "qdrant"


class ShortlistIndex(Protocol):
    """Finds the gallery images nearest to a query. finds: "exact", or what tells results of this index from others."""

    exactness: str

    def search(self, query_cls: Tensor, size: int) -> Shortlist:
        """The `size` nearest of the gallery, or all of a smaller one. query_cls: (C,)."""
        ...


def nearest(query_cls: Tensor, cls: np.ndarray, rows: np.ndarray, size: int) -> Shortlist:
    """The `size` nearest of these rows (S,) of `cls` (G, C), nearest first; ties in gallery order.

    D_cos is computed in float64, row by row, so that it depends on nothing but the two tokens.
    """
    rows = np.sort(np.asarray(rows, np.int64))
    query = query_cls.detach().double().cpu().numpy()
    tokens = np.asarray(cls[rows], np.float64)
    lengths = np.sqrt((tokens * tokens).sum(axis=1)) * np.sqrt((query * query).sum())
    distance = (1.0 - (tokens * query).sum(axis=1) / np.maximum(lengths, 1e-24)).astype(np.float32)
    order = np.argsort(distance, kind="stable")[:size]
    return Shortlist(rows[order], distance[order])
