"""Distributed processes of one training or one build of a gallery memory, started by `torchrun`.

Without torchrun there is one process, rank 0 of 1, and the collective functions return their argument.
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
def process_group(device: torch.device, timeout: timedelta | None = None) -> Iterator[None]:
    """Join the process group of a torchrun, if there is one, and leave it at the end.

    Args:
        device: Selects the backend: NCCL for CUDA, otherwise Gloo.
        timeout: How long a process waits for another one; None for torch's default of some minutes.
    """
    if "RANK" not in os.environ or dist.is_initialized():
        yield
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timeout)
    try:
        yield
    finally:
        dist.destroy_process_group()


def local_device(device: torch.device) -> torch.device:
    """Return this process's own GPU: `cuda` becomes `cuda:LOCAL_RANK` under torchrun."""
    if device.type != "cuda" or "LOCAL_RANK" not in os.environ:
        return device
    own = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(own)
    return own


def rank() -> int:
    """Return the rank of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def local_shard(rows: Tensor) -> Tensor:
    """Return this process's share of the rows: (n,) -> (n / world size,), one of equal consecutive parts.

    Raises:
        ValueError: The number of rows is not a multiple of the world size.
    """
    if len(rows) % world_size():
        raise ValueError(f"{len(rows)} rows cannot be split evenly across {world_size()} processes")
    return rows.chunk(world_size())[rank()]


def gather(values: Tensor) -> Tensor:
    """Concatenate the values of all processes in the order of `local_shard`: (n / world size, ...) -> (n, ...).

    Gradients do not flow back; see `gather_with_gradient`.
    """
    if world_size() == 1:
        return values
    parts = [torch.empty_like(values) for _ in range(world_size())]
    dist.all_gather(parts, values.contiguous())
    return torch.cat(parts)


def gather_with_gradient(values: Tensor) -> Tensor:
    """Like `gather`, and give each process the sum of all processes' gradients of its values."""
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
    """Broadcast rank 0's (picklable) value to all ranks."""
    if world_size() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values)
    return values[0]


def barrier() -> None:
    """Wait until every process has called this."""
    if world_size() > 1:
        dist.barrier()
