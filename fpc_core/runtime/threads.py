"""Limit threads on machines with few cores.

This module must not import torch at the top: some variables have to be set before torch loads.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController, threadpool_limits

FEW_CORES = (os.cpu_count() or 1) <= 2  # background work then uses one core, so that pages stay responsive


def set_passive_omp_wait() -> None:
    """Let OpenMP's idle threads sleep on machines with few cores.

    They would otherwise spin on a core that other threads need: a sweep by two threads takes twice as long
    (benchmarks/README.md). It has no effect once torch is loaded or if OMP_WAIT_POLICY is set.
    """
    if FEW_CORES:
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def limit_thread_to_one_core() -> None:
    """Limit torch and numba to one core in this thread; other threads keep theirs.

    `torch.set_num_threads` would also limit every thread that is created later.
    """
    import numba
    import torch

    numba.set_num_threads(1)
    torch.get_num_threads()  # The first call initialises this thread; a later one would undo the next line.
    threadpool_limits(1, user_api="openmp")


@contextmanager
def limit_threads_on_small_machines() -> Iterator[None]:
    """Limit torch to one core in this thread within the context, on machines with at most two cores.

    For work that has to be steady rather than fast: if another process, such as the browser, uses one of few cores, two
    threads wait for each other many times longer than one thread needs.
    """
    if not FEW_CORES:
        yield
        return
    import torch

    torch.get_num_threads()  # The first call initialises this thread; a later one would undo the next line.
    with _pools().limit(limits=1, user_api="openmp"):
        yield


@cache
def _pools() -> ThreadpoolController:
    """Return the thread pools, cached: finding them takes longer than the work they are limited for."""
    return ThreadpoolController()
