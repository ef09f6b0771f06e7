"""Shortlist index in the optional vector database Qdrant, for very large galleries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.http.models import ExtendedPointId
from torch import Tensor

from fpc_core.matching.shortlist.base import ShortlistError, nearest
from fpc_core.results import Shortlist

_BLOCK = 1_000  # Number of points that are uploaded at a time.
_TIMEOUT = 60  # Maximum time in seconds for a response.


class QdrantIndex:
    """Index in a Qdrant collection that is named after the gallery memory and uploaded on first use.

    A server searches approximately and may miss a candidate; the embedded mode computes every cosine. The `[cls]`
    tokens are not stored in the RAM of this process; those of the candidates are read from the gallery memory.
    """

    def __init__(self, cls: np.ndarray, name: str, location: str, key: str | None = None) -> None:
        """Connect, and upload the tokens if the collection is missing or incomplete.

        Args:
            cls: (G, C) `[cls]` tokens of the gallery.
            name: Name of the gallery memory.
            location: Server address, folder, or `:memory:`.
            key: API key of the server, if it requires one.

        Raises:
            ShortlistError: The location is empty or cannot be used.
        """
        if not location:
            raise ShortlistError(
                "the qdrant shortlist index needs FPC_QDRANT: set it to a server address such as "
                "http://localhost:6333, a folder, or :memory:"
            )
        self.exactness = "qdrant"
        self._cls, self._name, self._location = cls, f"fpc-{name}", location
        with self._errors_as_shortlist_error():
            if location.startswith(("http://", "https://")):
                self._client = QdrantClient(url=location, api_key=key, timeout=_TIMEOUT, check_compatibility=False)
            elif location == ":memory:":
                self._client = QdrantClient(location)
            else:
                self._client = QdrantClient(path=location)
            if not self._is_complete():
                self._upload()

    def search(self, query_cls: Tensor, size: int) -> Shortlist:
        """Return the nearest images among the candidates that Qdrant returns.

        Args:
            query_cls: (C,) `[cls]` token of the query.
            size: Number of images, or the size of the gallery if that is smaller.
        """
        query, limit = query_cls.detach().float().cpu().numpy(), min(2 * size, len(self._cls))
        with self._errors_as_shortlist_error():
            response = self._client.query_points(self._name, query=query.tolist(), limit=limit, with_payload=False)
        rows = np.array([point.id for point in response.points], np.int64)
        return nearest(query_cls, self._cls, rows, size)

    @contextmanager
    def _errors_as_shortlist_error(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # Errors of HTTP, the file lock and the server have no common base class.
            raise ShortlistError(
                f"Qdrant at {self._location} cannot be used ({error}); check FPC_QDRANT and the server, or use torch"
            ) from error

    def _is_complete(self) -> bool:
        if not self._client.collection_exists(self._name):
            return False
        return self._client.count(self._name, exact=True).count == len(self._cls)

    def _upload(self) -> None:
        """Upload all tokens with their rows as ids, so that interrupted and concurrent uploads give the same result."""
        if not self._client.collection_exists(self._name):
            vector_params = models.VectorParams(size=self._cls.shape[1], distance=models.Distance.COSINE)
            self._client.create_collection(self._name, vectors_config=vector_params)
        for start in range(0, len(self._cls), _BLOCK):
            vectors = np.asarray(self._cls[start : start + _BLOCK], np.float32)
            rows: list[ExtendedPointId] = list(range(start, start + len(vectors)))
            self._client.upsert(self._name, models.Batch(ids=rows, vectors=vectors.tolist()), wait=True)
