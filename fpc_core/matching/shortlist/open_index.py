"""Open the shortlist index that `FPC_SHORTLIST` names."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fpc_core.matching.shortlist.base import IndexKind, ShortlistError, ShortlistIndex
from fpc_core.matching.shortlist.torch_index import TorchIndex


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
