"""How threads share few cores. Imports no torch: what it sets has to be set before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController, threadpool_limits

FEW_CORES = (os.cpu_count() or 1) <= 2  # there work in the background keeps to one, so that the page stays quick


def set_passive_omp_wait() -> None:
    """On few cores, let OpenMP's idle threads sleep; no effect once torch is loaded or where OMP_WAIT_POLICY is set.

    They would otherwise spin on a core that others need: a sweep by two threads takes twice as long there
    (benchmarks/README.md).
    """
    if FEW_CORES:
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def limit_thread_to_one_core() -> None:
    """Have torch and numba use one core for what this thread computes; other threads keep theirs.

    torch.set_num_threads would also bind every thread that is born later.
    """
    import numba
    import torch

    numba.set_num_threads(1)
    torch.get_num_threads()  # both set this thread up when first asked; later they would undo the next line
    threadpool_limits(1, user_api="openmp")


@contextmanager
def limit_threads_on_small_machines() -> Iterator[None]:
    """Within, on a machine of no more than two cores, what torch computes in this thread keeps to one of them.

    For what must be steady rather than quick: where other work, such as the browser, has one of few cores, two threads
    wait for each other many times as long as one needs alone.
    """
    if not FEW_CORES:
        yield
        return
    import torch

    torch.get_num_threads()  # sets this thread up; later it would undo the next line
    with _pools().limit(limits=1, user_api="openmp"):
        yield


@cache
def _pools() -> ThreadpoolController:
    """Looking for them takes longer than what is computed in between."""
    return ThreadpoolController()
