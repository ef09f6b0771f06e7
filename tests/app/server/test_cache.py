"""Caches stay within their limits, compute each result once, and measure sizes correctly."""

import sys
import threading
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from app.server.cache import Cache, cache_key, cached, size_of


def weigh(value):
    return value.nbytes


def counting():
    """Return a list of names, and a function that creates an array and appends its name to the list."""
    made = []

    def make(name, size):
        made.append(name)
        return np.full(size, 7, np.uint8)

    return made, make


@given(
    max_entries=st.integers(1, 6),
    max_bytes=st.integers(0, 3000),
    requests=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 1500)), max_size=60),
)
def test_entries_and_bytes_stay_within_limits_and_the_sum_is_exact(max_entries, max_bytes, requests):
    cache = Cache(max_entries, max_bytes, weigh)
    order: list[tuple[int, int]] = []  # Expected (key, size) entries, the least recently used first.
    for key, size in requests:
        found = cache.get(key, lambda size=size: np.zeros(size, np.uint8))
        stored = dict(order)
        assert found.nbytes == stored.get(key, size)
        order = [each for each in order if each[0] != key] + [(key, stored.get(key, size))]
        cost = size_of(0)  # Size of a key.
        while len(order) > 1 and (len(order) > max_entries or sum(each + cost for _, each in order) > max_bytes):
            order.pop(0)
        assert cache.stats().entries == len(order) <= max_entries
        assert cache.stats().bytes == sum(each + size_of(key) for key, each in order)
        assert cache.stats().bytes <= max(max_bytes, order[-1][1] + size_of(order[-1][0]))


def test_the_least_recently_used_entry_is_evicted_first():
    made, make = counting()
    cache = Cache(2, 10**6)
    for name in ("a", "b", "a", "c", "a", "b"):
        cache.get(name, lambda name=name: make(name, 4))
    assert made == ["a", "b", "c", "b"]


def test_a_result_larger_than_the_cache_is_kept_until_the_next_one():
    made, make = counting()
    cache = Cache(8, 100)
    for name in ("small", "huge", "huge", "small"):
        cache.get(name, lambda name=name: make(name, 10**4 if name == "huge" else 1))
    assert made == ["small", "huge", "small"]


def test_concurrent_requests_share_one_computation():
    cache, made, begun, go = Cache(8, 10**6), [], threading.Event(), threading.Event()

    def slow():
        made.append(1)
        begun.set()
        assert go.wait(5)
        return "result"

    found = []
    threads = [threading.Thread(target=lambda: found.append(cache.get("key", slow))) for _ in range(8)]
    threads[0].start()
    assert begun.wait(5)
    for thread in threads[1:]:
        thread.start()
    go.set()
    for thread in threads:
        thread.join(5)
    assert found == ["result"] * 8
    assert made == [1]


def test_a_waiting_thread_recomputes_after_a_failure():
    cache, begun, go = Cache(8, 10**6), threading.Event(), threading.Event()

    def failing():
        begun.set()
        assert go.wait(5)
        raise ValueError("no memory")

    def first():
        with pytest.raises(ValueError, match="no memory"):
            cache.get("key", failing)

    found = []
    threads = [threading.Thread(target=first)]
    threads[0].start()
    assert begun.wait(5)
    threads.append(threading.Thread(target=lambda: found.append(cache.get("key", lambda: "mine"))))
    threads[1].start()
    go.set()
    for thread in threads:
        thread.join(5)
    assert found == ["mine"]


def test_a_mutable_result_is_measured_on_every_access():
    cache = Cache(8, 1000, measure=len, mutable=True)
    growing = cache.get("a", lambda: bytearray(10))
    cache.get("b", lambda: bytearray(10))
    growing.extend(bytes(5000))
    cache.get("a", bytearray)
    assert cache.stats().entries == 1


@given(shape=st.lists(st.integers(1, 8), min_size=1, max_size=3), parts=st.integers(1, 5))
def test_views_of_tensors_and_arrays_count_the_whole_storage(shape, parts):
    tensor, array = torch.zeros(shape), np.zeros(shape)
    views = tuple(each for _ in range(parts) for each in (tensor[:1], array[..., :1]))
    assert size_of(views) == sys.getsizeof(views) + 4 * tensor.numel() + array.nbytes


def test_parts_of_results_count_but_mapped_files_do_not(tmp_path):
    @dataclass(frozen=True, eq=False)
    class Result:
        tokens: torch.Tensor
        names: dict[str, np.ndarray]

    np.save(tmp_path / "tokens.npy", np.zeros(10**6, np.uint8))
    mapped = np.load(tmp_path / "tokens.npy", mmap_mode="r")
    result = Result(torch.zeros(1000), {"a": np.zeros(500), "mapped": mapped[:10]})
    assert 8000 <= size_of(result) < 9500
    module = torch.nn.Linear(100, 100)
    assert 40_400 <= size_of(module) < 41_500


def test_the_size_of_a_long_container_is_estimated():
    many = [bytes(100) for _ in range(20_000)]
    assert size_of(many) == pytest.approx(sum(size_of(each) for each in many) + size_of([]) + 8 * len(many), rel=0.01)


def test_results_are_cached_by_the_cache_keys_of_arguments():
    class Named:
        def __init__(self, name):
            self.name = name

    cache_key.register(Named, lambda value: value.name)
    cache, calls = Cache(8, 10**6), []

    @cached(cache)
    def shape_of(named, _how, size=2):
        calls.append((named, size))
        return np.zeros(size)

    first = shape_of(Named("a"), "one way")
    assert shape_of(Named("a"), "another", size=2) is first
    assert shape_of(Named("b"), "one way") is not first
    assert shape_of(Named("a"), "one way", 3).shape == (3,)
    assert len(calls) == 3
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 1
