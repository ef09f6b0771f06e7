"""Several processes, one training or one build of a memory: what `torchrun` started, joined by torch.distributed.

Without torchrun there is one process and every function here does nothing to its argument.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


@contextmanager
def process_group(device: torch.device, patience: timedelta | None = None) -> Iterator[None]:
    """Join the other processes of a torchrun, if there are any, and leave them at the end.

    patience: how long one waits for another before it gives up; None for torch's own, some minutes.
    """
    if "RANK" not in os.environ or dist.is_initialized():
        yield
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=patience)
    try:
        yield
    finally:
        dist.destroy_process_group()


def own_device(device: torch.device) -> torch.device:
    """Each process its own GPU: `cuda` becomes `cuda:LOCAL_RANK` under torchrun."""
    if device.type != "cuda" or "LOCAL_RANK" not in os.environ:
        return device
    own = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(own)
    return own


def rank() -> int:
    """Of this process among all, from 0."""
    return dist.get_rank() if dist.is_initialized() else int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """How many processes work together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def local_shard(rows: Tensor) -> Tensor:
    """The rows of this process: (n,) -> (n / world,), the rank-th of equal runs. Raises ValueError for a rest."""
    if len(rows) % world_size():
        raise ValueError(f"{len(rows)} rows do not share out evenly among {world_size()} processes")
    return rows.chunk(world_size())[rank()]


def gather(values: Tensor) -> Tensor:
    """The values of all processes in the order of `local_shard`: (n / world, ...) -> (n, ...). No gradient."""
    if world_size() == 1:
        return values
    parts = [torch.empty_like(values) for _ in range(world_size())]
    dist.all_gather(parts, values.contiguous())
    return torch.cat(parts)


def gather_with_gradient(values: Tensor) -> Tensor:
    """`gather` through which every process gets the gradients that all of them have for its values, summed."""
    return _Gather.apply(values) if world_size() > 1 else values


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return gather(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return local_shard(total)


def broadcast_from_rank0(value: T) -> T:
    """The first process's value, in every process; it must be one that can be pickled."""
    if world_size() == 1:
        return value
    told = [value]
    dist.broadcast_object_list(told)
    return told[0]


def barrier() -> None:
    """Until every process has come here."""
    if world_size() > 1:
        dist.barrier()
