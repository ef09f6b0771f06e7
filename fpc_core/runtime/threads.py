"""Limit threads on machines with few cores.

This module must not import torch at the top level, because some variables must be set before torch is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController, threadpool_limits

FEW_CORES = (os.cpu_count() or 1) <= 2  # Whether background work uses only one core, so that pages stay responsive.


def set_passive_omp_wait() -> None:
    """Let OpenMP's idle threads sleep on machines with few cores.

    Otherwise, idle threads keep cores busy that other threads need, and a sweep with two threads takes twice as long
    (benchmarks/README.md). This function has no effect if torch is already loaded or OMP_WAIT_POLICY is set.
    """
    if FEW_CORES:
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def limit_thread_to_one_core() -> None:
    """Limit torch and numba to one core in this thread only.

    `torch.set_num_threads` is not suitable, because it would also limit every thread that is created later.
    """
    import numba
    import torch

    numba.set_num_threads(1)
    torch.get_num_threads()  # The first call initialises this thread, which would undo the next line if it came later.
    threadpool_limits(1, user_api="openmp")


@contextmanager
def limit_threads_on_small_machines() -> Iterator[None]:
    """Limit torch to one core in this thread within the context, on machines with at most two cores.

    Use it for work whose duration should be predictable. If another process, such as the browser, uses one of two
    cores, two threads that wait for each other take many times longer than one thread.
    """
    if not FEW_CORES:
        yield
        return
    import torch

    torch.get_num_threads()  # The first call initialises this thread, which would undo the next line if it came later.
    with _pools().limit(limits=1, user_api="openmp"):
        yield


@cache
def _pools() -> ThreadpoolController:
    """Return the thread pools of this process, cached because finding them is slow."""
    return ThreadpoolController()
