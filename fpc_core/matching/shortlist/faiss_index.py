"""Shortlist indexes that use the optional library faiss: exact, or with inverted lists for large galleries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from torch import Tensor

from fpc_core.io.atomic_write import atomic_write
from fpc_core.io.bounded_files import UnusableFileError, open_regular
from fpc_core.matching.shortlist.base import MARGIN, nearest
from fpc_core.results import Shortlist

_MAX_HEADER = 1 << 16  # Maximum number of bytes in an index file besides its vectors.
_BLOCK = 65_536  # Number of rows that are added at a time.


class FaissIndex:
    """Exact index that computes every cosine (`IndexFlatIP`)."""

    exactness = "exact"

    def __init__(self, cls: np.ndarray, unit_cls: np.ndarray) -> None:
        """Build the index, which stores a copy of `unit_cls`.

        Args:
            cls: (G, C) `[cls]` tokens of the gallery.
            unit_cls: (G, C) L2-normalised `[cls]` tokens.
        """
        self._cls = cls
        self._index = faiss.IndexFlatIP(cls.shape[1])
        self._index.add(np.ascontiguousarray(unit_cls))

    def search(self, query_cls: Tensor, size: int) -> Shortlist:
        """Return the nearest images.

        Args:
            query_cls: (C,) `[cls]` token of the query.
            size: Number of images, or the size of the gallery if that is smaller.
        """
        size = min(size, len(self._cls))
        if size < 1:
            raise ValueError(f"size must be at least 1 and the gallery must not be empty, got {size}")
        query, limit = _unit_query(query_cls), size
        # The number of candidates grows until all other images are farther by more than a rounding error.
        while True:
            limit = min(2 * limit, len(self._cls))
            cosines, rows = self._index.search(query, limit)
            if limit == len(self._cls) or cosines[0, -1] < cosines[0, size - 1] - MARGIN:
                return nearest(query_cls, self._cls, rows[0], size)


class IvfIndex:
    """Approximate index that searches the inverted lists with the nearest centres (`IndexIVFFlat`).

    A search visits `probe_fraction` of the lists, and more if they have too few images for a shortlist. The index
    stores a copy of the normalised tokens; it is built once and saved to a file.
    """

    def __init__(
        self, cls: np.ndarray, unit_cls: Callable[[], np.ndarray], path: Path | None, probe_fraction: float = 1 / 16
    ) -> None:
        """Read the index from `path`, or build it and write it there.

        Args:
            cls: (G, C) `[cls]` tokens of the gallery.
            unit_cls: Function that returns the L2-normalised tokens; it is called only if the index must be built.
            path: Path of the index file; None to store no file.
            probe_fraction: Share of the lists that are searched for a query, in (0, 1].
        """
        self._cls = cls
        lists = max(1, min(round(4 * len(cls) ** 0.5), len(cls) // 40))  # Faiss requires at least 39 rows per centre.
        index = _read(path, len(cls), lists, cls.shape[1]) if path else None
        if index is None:
            index = _build(unit_cls(), lists)
            if path:
                _write(path, index)
        self._index, self._lists = index, lists
        self._probes = max(1, round(probe_fraction * lists))
        self.exactness = f"faiss-ivf {self._probes} of {lists}"

    def search(self, query_cls: Tensor, size: int) -> Shortlist:
        """Return the nearest images among those in the searched lists.

        Args:
            query_cls: (C,) `[cls]` token of the query.
            size: Number of images, or the size of the gallery if that is smaller.
        """
        query, size, probes = _unit_query(query_cls), min(size, len(self._cls)), self._probes
        parameters: Any = faiss.SearchParametersIVF()
        while True:
            parameters.nprobe = probes
            _, rows = self._index.search(query, min(2 * size, len(self._cls)), params=parameters)
            candidates = rows[0][rows[0] >= 0]
            if len(candidates) >= size or probes >= self._lists:
                return nearest(query_cls, self._cls, candidates, size)
            probes *= 2


def _unit_query(query_cls: Tensor) -> np.ndarray:
    query = query_cls.detach().float().cpu().numpy()
    return np.ascontiguousarray(query[None] / max(float(np.linalg.norm(query)), 1e-12))


def _read(path: Path, images: int, lists: int, channels: int) -> Any | None:
    """Read a stored index; return None if the file is missing, damaged or belongs to another gallery.

    Args:
        path: Path of the index file.
        images: Number of gallery images.
        lists: Number of inverted lists.
        channels: Number of channels (C).
    """
    # The file contains all vectors with their ids, and the centres. The limit allows twice as many vectors.
    max_bytes = (2 * images + lists) * (4 * channels + 16) + _MAX_HEADER
    try:
        open_regular(path, max_bytes=max_bytes).close()
        index: Any = faiss.read_index(str(path))
    except (OSError, UnusableFileError, RuntimeError, MemoryError):
        return None
    return index if (index.ntotal, index.nlist) == (images, lists) else None


def _build(unit_cls: np.ndarray, lists: int) -> Any:
    index = faiss.index_factory(unit_cls.shape[1], f"IVF{lists},Flat", faiss.METRIC_INNER_PRODUCT)
    sample = np.random.default_rng(0).permutation(len(unit_cls))[: 64 * lists]
    index.train(np.ascontiguousarray(unit_cls[np.sort(sample)]))
    for start in range(0, len(unit_cls), _BLOCK):
        index.add(np.ascontiguousarray(unit_cls[start : start + _BLOCK]))
    return index


def _write(path: Path, index: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as partial:
        faiss.write_index(index, str(partial))
