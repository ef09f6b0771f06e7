"""Caches that all visitors share, limited in entries and bytes. Background workers limit their own results.

Keys depend only on content. Visitors with the same image and settings therefore share a result, without seeing anything
of each other's views. A visitor who needs a result that is already being computed waits for it.
"""

from __future__ import annotations

import inspect
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, is_dataclass
from functools import singledispatch, wraps
from itertools import islice
from typing import Any, ParamSpec, TypeVar

import numpy as np
import streamlit as st
import torch

from app.server.queues import MODEL_QUEUE, PAGE_QUEUE
from app.session.visitor import in_page_run, stop_if_superseded
from fpc_core.workspace import Workspace

_P = ParamSpec("_P")
_T = TypeVar("_T")
MB = 2**20
_CHECK_SECONDS = 0.1  # Interval between checks that the visitor still waits for the result.
_SAMPLE_SIZE = 4096  # Number of elements from which the size of a longer container is estimated.


@dataclass(frozen=True)
class CacheStats:
    """Number of entries and bytes of a cache at one moment."""

    entries: int
    bytes: int


class Cache:
    """Results by key. The least recently used are evicted first. The latest result stays, whatever its size."""

    def __init__(
        self, max_entries: int, max_bytes: int, measure: Callable[[Any], int] | None = None, mutable: bool = False
    ) -> None:
        """Create an empty cache.

        Args:
            max_entries: Maximum number of entries.
            max_bytes: Maximum total size in bytes.
            measure: Function that returns the size of a result in bytes; `size_of` by default.
            mutable: Whether results can grow while they are cached, so that every access measures them again.
        """
        self.max_entries, self.max_bytes = max_entries, max_bytes
        self._measure, self._mutable = measure or size_of, mutable
        self._entries: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._bytes = 0
        self._in_progress: dict[Hashable, threading.Event] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """Return the result for a key, computing it if needed.

        Args:
            key: Key of the result.
            make: Function that computes the result. Its exceptions are not cached.
        """
        while True:
            with self._lock:
                entry = self._entries.get(key)
                if entry is not None:
                    self._entries.move_to_end(key)
                    break
                other = self._in_progress.get(key)
                if other is None:
                    done = self._in_progress[key] = threading.Event()
                    break
            with PAGE_QUEUE.release_while(), MODEL_QUEUE.release_while():  # The computing thread may need a slot.
                while not other.wait(_CHECK_SECONDS):
                    stop_if_superseded()
        if entry is not None:
            if self._mutable:
                self._store(key, entry[0])
            return entry[0]
        try:
            value = make()
            self._store(key, value)
            return value
        finally:
            with self._lock:
                del self._in_progress[key]
            done.set()  # Waiting threads now read the result or, after an error, compute it themselves.

    def stats(self) -> CacheStats:
        """Return the current size of the cache."""
        with self._lock:
            return CacheStats(len(self._entries), self._bytes)

    def clear(self) -> None:
        """Remove all entries."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0

    def _store(self, key: Hashable, value: Any) -> None:
        size = self._measure(value) + size_of(key)
        with self._lock:
            self._bytes += size - self._entries.pop(key, (None, 0))[1]
            self._entries[key] = (value, size)
            self._evict()

    def _evict(self) -> None:
        while len(self._entries) > 1 and (len(self._entries) > self.max_entries or self._bytes > self.max_bytes):
            _, (_, size) = self._entries.popitem(last=False)
            self._bytes -= size


@singledispatch
def cache_key(argument: Any) -> Hashable:
    """Return the cache key of an argument: the argument itself, or what a function registered for its type returns."""
    return argument


@cache_key.register
def _(argument: Workspace) -> Hashable:
    return argument.key


def cached(cache: Cache, show: str = "") -> Callable[[Callable[_P, _T]], Callable[_P, _T]]:
    """Return a decorator that caches the results of a function by its arguments (see `cache_key`).

    Arguments whose names begin with an underscore are not part of the key. Results are shared, so callers must not
    modify them; arrays are made read-only.

    Args:
        cache: Cache that stores the results.
        show: Text of a spinner that is shown on the page while a result is computed; empty for no spinner.
    """

    def decorate(function: Callable[_P, _T]) -> Callable[_P, _T]:
        signature = inspect.signature(function)
        name = (function.__module__, function.__qualname__)

        @wraps(function)
        def cached_function(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            keys = tuple(cache_key(value) for key, value in bound.arguments.items() if not key.startswith("_"))

            def make() -> _T:
                if show and in_page_run():
                    with st.spinner(show), PAGE_QUEUE.release_while():
                        return _frozen(function(*args, **kwargs))
                return _frozen(function(*args, **kwargs))

            return cache.get((*name, *keys), make)

        return cached_function

    return decorate


def size_of(result: Any) -> int:
    """Return the memory that a result uses in bytes, counting each part once.

    A tensor or array counts with its whole storage. An array mapped from a file counts as 0, because the operating
    system can reclaim its pages. The size of a long container is estimated from its first elements.
    """
    total, seen, pending = 0, set(), [(result, 1.0)]
    while pending:
        value, factor = pending.pop()
        inner: Collection[Any] = ()
        if isinstance(value, torch.Tensor):
            storage = value.untyped_storage()
            address, size = storage.data_ptr(), storage.nbytes()
        elif isinstance(value, np.ndarray):
            address, size, inner = _array(value)
        else:
            address, size, inner = id(value), sys.getsizeof(value), _parts(value)
        if address in seen:
            continue
        seen.add(address)
        total += int(factor * size)
        share = max(1.0, len(inner) / _SAMPLE_SIZE)
        pending.extend((part, factor * share) for part in islice(inner, _SAMPLE_SIZE))
    return total


def _array(array: np.ndarray) -> tuple[int, int, Collection[Any]]:
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    size = 0 if isinstance(owner, np.memmap) else owner.nbytes
    inner = array.ravel().tolist() if array.dtype.hasobject else []
    return owner.__array_interface__["data"][0], size, inner


def _parts(value: Any) -> Collection[Any]:
    ours = type(value).__module__.startswith("fpc_core.")
    if isinstance(value, Mapping) and not ours:  # Mappings of fpc_core compute their values on access.
        return [*value.keys(), *value.values()]
    if isinstance(value, torch.nn.Module):
        return [*value.parameters(), *value.buffers()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return value
    return list(vars(value).values()) if (ours or is_dataclass(value)) and hasattr(value, "__dict__") else []


def _frozen(result: _T) -> _T:
    if isinstance(result, np.ndarray):
        result.flags.writeable = False
    return result


def _size_of_workspace(workspace: Workspace) -> int:
    """Return the size in bytes, including the two arrays of unit vectors that the first search creates."""
    return size_of(workspace) + 2 * workspace.retriever.memory.cls.nbytes


def _size_of_job(result: Any) -> int:
    """Return the size of the results so far in bytes. The job's workspace counts in the cache of workspaces."""
    parts = result if isinstance(result, tuple) else (result,)
    return sum(size_of(part.status()) for part in parts if hasattr(part, "status"))


WORKSPACES = Cache(max_entries=3, max_bytes=4096 * MB, measure=_size_of_workspace)
# Details of datasets, weights and gallery memories for the Data page.
FILE_INFO = Cache(max_entries=64, max_bytes=256 * MB)
# Results of searches, images and figures.
RESULTS = Cache(max_entries=16_384, max_bytes=256 * MB)
# Sweeps, evaluations, failure analyses, occlusion studies, builds and image checks.
JOBS = Cache(max_entries=128, max_bytes=256 * MB, measure=_size_of_job, mutable=True)
