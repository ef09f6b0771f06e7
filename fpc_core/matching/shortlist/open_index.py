"""Open the shortlist index selected by `FPC_SHORTLIST`."""

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
    """Open an index of the given kind over the gallery's `[cls]` tokens.

    For Qdrant, the environment variable FPC_QDRANT is the address of a server (and FPC_QDRANT_KEY its key, if it needs
    one), a folder, or `:memory:` for an index in the RAM of this process.

    Args:
        kind: Kind of index.
        cls: (G, C) `[cls]` tokens.
        unit_cls: Function that returns the L2-normalised tokens.
        name: Name of the gallery memory; gallery memories with the same content have the same name.
        folder: Folder in which indexes that take long to build are stored; None to store none.

    Raises:
        ShortlistError: The kind is unknown, its library is not installed, or the server does not answer.
    """
    if kind not in list(IndexKind):
        raise ShortlistError(f"unknown shortlist index {str(kind)!r}; use {', '.join(IndexKind)}")
    if kind == IndexKind.TORCH:
        return TorchIndex(cls, unit_cls)
    try:
        if kind == IndexKind.QDRANT:
            # The imports are local because these libraries are optional.
            from fpc_core.matching.shortlist.qdrant_index import QdrantIndex

            return QdrantIndex(cls, name, os.environ.get("FPC_QDRANT", ""), os.environ.get("FPC_QDRANT_KEY") or None)
        from fpc_core.matching.shortlist.faiss_index import FaissIndex, IvfIndex

        if kind == IndexKind.FAISS:
            return FaissIndex(cls, unit_cls())
        return IvfIndex(cls, unit_cls, folder / f"{name}.faiss" if folder else None)
    except ImportError as error:
        raise ShortlistError(
            f"the {kind} shortlist index needs {error.name}: run pip install -r requirements-scale.txt, or use torch"
        ) from error
