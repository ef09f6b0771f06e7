"""Who finds the shortlist (Eq. 4): plain torch, faiss or a Qdrant server, behind one small interface.

Whoever finds the candidates, their D_cos is computed by `nearest` from the `[cls]` tokens as stored. Exact indexes
therefore give the same shortlist to the last bit; approximate ones may miss a candidate, never misjudge one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from fpc_core.results import Shortlist

MARGIN = 1e-5  # wider than float32 rounds a cosine
_MOST_BYTES = 1 << 30  # of `[cls]` tokens that a GPU is asked to hold


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

    finds: str

    def search(self, query_cls: Tensor, size: int) -> Shortlist:
        """The `size` nearest of the gallery, or all of a smaller one. query_cls: (C,)."""
        ...


class TorchIndex:
    """Every cosine, by one product of matrix and vector, on the device of the query."""

    finds = "exact"

    def __init__(self, cls: np.ndarray, unit_cls: Callable[[], np.ndarray]) -> None:
        """cls: (G, C); unit_cls: gives them L2-normalised when they are first needed."""
        self._cls, self._unit_cls = cls, unit_cls
        self._units: dict[torch.device, Tensor] = {}

    def search(self, query_cls: Tensor, size: int) -> Shortlist:
        size = min(size, len(self._cls))
        if size < 1:
            raise ValueError("a shortlist needs at least one gallery image")
        query = query_cls.detach().float()
        if 4 * self._cls.size > _MOST_BYTES:
            query = query.cpu()
        distance = 1.0 - self._unit(query.device) @ torch.nn.functional.normalize(query, dim=0)
        if distance.device.type == "cpu":  # numpy's selection takes a thirtieth of torch's in half a million
            values = distance.numpy()
            rows = np.flatnonzero(values <= np.partition(values, size - 1)[size - 1] + MARGIN)
        else:
            edge = distance.topk(size, largest=False, sorted=False).values.max()
            rows = (distance <= edge + MARGIN).nonzero().flatten().cpu().numpy()
        return nearest(query, self._cls, rows, size)

    def _unit(self, device: torch.device) -> Tensor:
        if device not in self._units:
            self._units[device] = torch.from_numpy(self._unit_cls()).to(device)
        return self._units[device]


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


def open_index(
    kind: IndexKind | str, cls: np.ndarray, unit_cls: Callable[[], np.ndarray], name: str, folder: Path | None
) -> ShortlistIndex:
    """The index of this kind over `cls` (G, C); `unit_cls` gives them L2-normalised.

    name: of the memory, the same for the same content; folder: where an index that takes long to make is kept, if
    anywhere.
    Qdrant is told by FPC_QDRANT: the address of a server (with FPC_QDRANT_KEY if it wants a key), a folder, or
    :memory: for none but this process. Raises ShortlistError for an unknown kind, a library that is not installed and
    a server that does not answer.
    """
    if kind not in list(IndexKind):
        raise ShortlistError(f"unknown shortlist {str(kind)!r}; use {', '.join(IndexKind)}")
    if kind == IndexKind.TORCH:
        return TorchIndex(cls, unit_cls)
    try:
        if kind == IndexKind.QDRANT:
            from fpc_core.matching.shortlist.qdrant_index import (
                QdrantIndex,  # libraries that few have and none else needs
            )

            return QdrantIndex(cls, name, os.environ.get("FPC_QDRANT", ""), os.environ.get("FPC_QDRANT_KEY") or None)
        from fpc_core.matching.shortlist.faiss_index import FaissIndex, IvfIndex

        if kind == IndexKind.FAISS:
            return FaissIndex(cls, unit_cls())
        return IvfIndex(cls, unit_cls, folder / f"{name}.faiss" if folder else None)
    except ImportError as error:
        raise ShortlistError(
            f"the shortlist by {kind} needs {error.name}: pip install -r requirements-scale.txt, or use torch"
        ) from error
