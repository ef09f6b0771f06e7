"""The shortlist by faiss (optional, requirements-scale.txt): exact, or by inverted lists for large galleries."""

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

_HEADER = 1 << 16  # bytes of an index file besides its vectors, at most
_BLOCK = 65_536  # rows added at once


class FaissIndex:
    """Every cosine, by `IndexFlatIP`."""

    exactness = "exact"

    def __init__(self, cls: np.ndarray, unit_cls: np.ndarray) -> None:
        """cls: (G, C); unit_cls: the same, L2-normalised; the index holds a copy of it."""
        self._cls = cls
        self._index = faiss.IndexFlatIP(cls.shape[1])
        self._index.add(np.ascontiguousarray(unit_cls))

    def search(self, query_cls: Tensor, size: int) -> Shortlist:
        size = min(size, len(self._cls))
        if size < 1:
            raise ValueError("a shortlist needs at least one gallery image")
        query, asked = _unit_query(query_cls), size
        while True:  # until what was left out is farther than the last one taken, for certain
            asked = min(2 * asked, len(self._cls))
            cosines, rows = self._index.search(query, asked)
            if asked == len(self._cls) or cosines[0, -1] < cosines[0, size - 1] - MARGIN:
                return nearest(query_cls, self._cls, rows[0], size)


class IvfIndex:
    """The cosines of the lists whose centres are nearest, by `IndexIVFFlat`; may miss a candidate.

    It looks through `searched` of the lists, and through more where they hold too few images for a shortlist.
    The index holds a copy of the unit tokens. It is made once and kept in a file.
    """

    def __init__(
        self, cls: np.ndarray, unit_cls: Callable[[], np.ndarray], path: Path | None, searched: float = 1 / 16
    ) -> None:
        """path: of the file, None to keep none; searched: share of the lists that are looked through for a query."""
        self._cls = cls
        lists = max(1, min(round(4 * len(cls) ** 0.5), len(cls) // 40))  # a centre is made of 39 at least
        index = _read(path, len(cls), lists, cls.shape[1]) if path else None
        if index is None:
            index = _made(unit_cls(), lists)
            if path:
                _write(path, index)
        self._index, self._lists = index, lists
        self._probes = max(1, round(searched * lists))
        self.exactness = f"faiss-ivf {self._probes} of {lists}"

    def search(self, query_cls: Tensor, size: int) -> Shortlist:
        query, size, probes = _unit_query(query_cls), min(size, len(self._cls)), self._probes
        told: Any = faiss.SearchParametersIVF()
        while True:
            told.nprobe = probes
            _, rows = self._index.search(query, min(2 * size, len(self._cls)), params=told)
            found = rows[0][rows[0] >= 0]
            if len(found) >= size or probes >= self._lists:
                return nearest(query_cls, self._cls, found, size)
            probes *= 2


def _unit_query(query_cls: Tensor) -> np.ndarray:
    query = query_cls.detach().float().cpu().numpy()
    return np.ascontiguousarray(query[None] / max(float(np.linalg.norm(query)), 1e-12))


def _read(path: Path, images: int, lists: int, channels: int) -> Any | None:
    """The index kept in a file; None where there is none of this gallery, or a broken one, which is made anew."""
    most = (2 * images + lists) * (4 * channels + 16) + _HEADER  # its vectors and their numbers, and the centres
    try:
        open_regular(path, max_bytes=most).close()
        index: Any = faiss.read_index(str(path))
    except (OSError, UnusableFileError, RuntimeError, MemoryError):
        return None
    return index if (index.ntotal, index.nlist) == (images, lists) else None


def _made(unit_cls: np.ndarray, lists: int) -> Any:
    index = faiss.index_factory(unit_cls.shape[1], f"IVF{lists},Flat", faiss.METRIC_INNER_PRODUCT)
    sample = np.random.default_rng(0).permutation(len(unit_cls))[: 64 * lists]
    index.train(np.ascontiguousarray(unit_cls[np.sort(sample)]))
    for start in range(0, len(unit_cls), _BLOCK):
        index.add(np.ascontiguousarray(unit_cls[start : start + _BLOCK]))
    return index


def _write(path: Path, index: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as place:
        faiss.write_index(index, str(place))
