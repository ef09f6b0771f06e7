"""The shortlist by Qdrant, a vector database (optional, requirements-scale.txt): for galleries beyond one machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.http.models import ExtendedPointId
from torch import Tensor

from fpc_core.matching.shortlist.base import ShortlistError, nearest
from fpc_core.results import Shortlist

_BLOCK = 1_000  # points uploaded at once
_PATIENCE = 60  # seconds for an answer


class QdrantIndex:
    """The nearest by a collection that bears the memory's name; whoever comes first uploads it.

    A server answers from its graph and may miss a candidate; the embedded mode computes every cosine. No `[cls]` token
    is held in this process: the candidates' are read from the memory.
    """

    def __init__(self, cls: np.ndarray, name: str, place: str, key: str | None = None) -> None:
        """cls: (G, C); name: of the memory; place: a server's address, a folder, or :memory:.

        Raises ShortlistError where nothing is told or no server answers.
        """
        if not place:
            raise ShortlistError(
                "the shortlist by qdrant needs FPC_QDRANT: the address of a server such as http://localhost:6333, a "
                "folder, or :memory:"
            )
        self.exactness = "qdrant"
        self._cls, self._name, self._place = cls, f"fpc-{name}", place
        with self._told():
            if place.startswith(("http://", "https://")):
                self._client = QdrantClient(url=place, api_key=key, timeout=_PATIENCE, check_compatibility=False)
            elif place == ":memory:":
                self._client = QdrantClient(place)
            else:
                self._client = QdrantClient(path=place)
            if not self._is_whole():
                self._upload()

    def search(self, query_cls: Tensor, size: int) -> Shortlist:
        query, asked = query_cls.detach().float().cpu().numpy(), min(2 * size, len(self._cls))
        with self._told():
            found = self._client.query_points(self._name, query=query.tolist(), limit=asked, with_payload=False)
        rows = np.array([point.id for point in found.points], np.int64)
        return nearest(query_cls, self._cls, rows, size)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of HTTP, the file lock and the server, without a common base
            raise ShortlistError(
                f"Qdrant at {self._place} cannot be used ({error}); check FPC_QDRANT and the server, or use torch"
            ) from error

    def _is_whole(self) -> bool:
        if not self._client.collection_exists(self._name):
            return False
        return self._client.count(self._name, exact=True).count == len(self._cls)

    def _upload(self) -> None:
        """Points are written under their rows, so an upload that was interrupted, or that two make, ends the same."""
        if not self._client.collection_exists(self._name):
            form = models.VectorParams(size=self._cls.shape[1], distance=models.Distance.COSINE)
            self._client.create_collection(self._name, vectors_config=form)
        for start in range(0, len(self._cls), _BLOCK):
            vectors = np.asarray(self._cls[start : start + _BLOCK], np.float32)
            rows: list[ExtendedPointId] = list(range(start, start + len(vectors)))
            self._client.upsert(self._name, models.Batch(ids=rows, vectors=vectors.tolist()), wait=True)
