"""What visitors share is kept here, within two bounds: entries and bytes. (Work done ahead: background.py, likewise.)

Entries are known by content, so that two visitors with the same image and settings share a result and nothing of one
visitor's view reaches another. Who asks for what is just being computed waits for it instead of computing it again.
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
_LOOK = 0.1  # seconds between two looks whether a visitor who waits still wants it
_SAMPLE = 4096  # elements by which a longer container is judged


@dataclass(frozen=True)
class CacheStats:
    """What a cache holds at one moment."""

    entries: int
    bytes: int


class Cache:
    """Results by key; the least recently used leave first. The latest one stays, however large it is."""

    def __init__(
        self, most: int, most_bytes: int, weigh: Callable[[Any], int] | None = None, grows: bool = False
    ) -> None:
        """most, most_bytes: what it may hold.  weigh: bytes of a result, `size_of` if not given.

        grows: results grow while they are kept, and are weighed again whenever they are asked for.
        """
        self.most, self.most_bytes = most, most_bytes
        self._weigh, self._grows = weigh or size_of, grows
        self._entries: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._bytes = 0
        self._at_work: dict[Hashable, threading.Event] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """The result of this key, made if it is not there. What `make` raises is raised and not kept."""
        while True:
            with self._lock:
                found = self._entries.get(key)
                if found is not None:
                    self._entries.move_to_end(key)
                    break
                other = self._at_work.get(key)
                if other is None:
                    done = self._at_work[key] = threading.Event()
                    break
            with PAGE_QUEUE.release_while(), MODEL_QUEUE.release_while():  # whoever makes it may have to come back
                while not other.wait(_LOOK):
                    stop_if_superseded()
        if found is not None:
            if self._grows:
                self._keep(key, found[0])
            return found[0]
        try:
            value = make()
            self._keep(key, value)
            return value
        finally:
            with self._lock:
                del self._at_work[key]
            done.set()  # who waited finds the result, or makes it now

    def stats(self) -> CacheStats:
        with self._lock:
            return CacheStats(len(self._entries), self._bytes)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._bytes = 0

    def _keep(self, key: Hashable, value: Any) -> None:
        size = self._weigh(value) + size_of(key)
        with self._lock:
            self._bytes += size - self._entries.pop(key, (None, 0))[1]
            self._entries[key] = (value, size)
            self._shrink()

    def _shrink(self) -> None:
        while len(self._entries) > 1 and (len(self._entries) > self.most or self._bytes > self.most_bytes):
            _, (_, size) = self._entries.popitem(last=False)
            self._bytes -= size


@singledispatch
def cache_key(argument: Any) -> Hashable:
    """What a cache knows an argument by: itself, or its content where a type is registered for it."""
    return argument


@cache_key.register
def _(argument: Workspace) -> Hashable:
    return argument.key


def cached(cache: Cache, show: str = "") -> Callable[[Callable[_P, _T]], Callable[_P, _T]]:
    """Keep the results of a function, by what its arguments are `cache_key`.

    Arguments whose name begins with an underscore do not tell results apart. Results are shared: treat them as frozen;
    arrays are made so. show: said on the page while a result is made.
    """

    def decorate(function: Callable[_P, _T]) -> Callable[_P, _T]:
        signature = inspect.signature(function)
        name = (function.__module__, function.__qualname__)

        @wraps(function)
        def answer(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            told = tuple(cache_key(value) for key, value in bound.arguments.items() if not key.startswith("_"))

            def make() -> _T:
                if show and in_page_run():
                    with st.spinner(show), PAGE_QUEUE.release_while():
                        return _frozen(function(*args, **kwargs))
                return _frozen(function(*args, **kwargs))

            return cache.get((*name, *told), make)

        return answer

    return decorate


def size_of(result: Any) -> int:
    """Bytes that a result keeps in memory, each part counted once.

    A tensor or an array counts with the whole memory it looks into; one mapped from a file counts nothing, for the
    system may take its pages back. A container of more than a few thousand elements is judged by the first of them.
    """
    total, seen, todo = 0, set(), [(result, 1.0)]
    while todo:
        each, times = todo.pop()
        inner: Collection[Any] = ()
        if isinstance(each, torch.Tensor):
            storage = each.untyped_storage()
            place, size = storage.data_ptr(), storage.nbytes()
        elif isinstance(each, np.ndarray):
            place, size, inner = _array(each)
        else:
            place, size, inner = id(each), sys.getsizeof(each), _parts(each)
        if place in seen:
            continue
        seen.add(place)
        total += int(times * size)
        share = max(1.0, len(inner) / _SAMPLE)
        todo.extend((part, times * share) for part in islice(inner, _SAMPLE))
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
    if isinstance(value, Mapping) and not ours:  # one of ours makes its values when they are asked for
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
    """With the two arrays of unit vectors, which the first search makes."""
    return size_of(workspace) + 2 * workspace.retriever.memory.cls.nbytes


def _size_of_job(result: Any) -> int:
    """What they have found out so far; the workspace they belong to is weighed where it is kept."""
    parts = result if isinstance(result, tuple) else (result,)
    return sum(size_of(part.status()) for part in parts if hasattr(part, "status"))


# All caches there are.
WORKSPACES = Cache(most=3, most_bytes=4096 * MB, weigh=_size_of_workspace)
FILE_INFO = Cache(most=64, most_bytes=256 * MB)  # what the Data page read: file lists, weights, memories
RESULTS = Cache(most=16_384, most_bytes=256 * MB)  # of searches; pictures
JOBS = Cache(most=128, most_bytes=256 * MB, weigh=_size_of_job, grows=True)  # sweeps, tables, studies, builds
