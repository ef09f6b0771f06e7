"""Collective functions for processes that `torchrun` starts to train, build a gallery memory or evaluate.

Without torchrun there is only one process, with rank 0, and the collective functions return their argument.
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
    """Enter torchrun's process group for the duration of the context; without torchrun, do nothing.

    Args:
        device: Device that selects the backend: NCCL for CUDA, otherwise Gloo.
        timeout: Maximum time that a process waits for others; None for torch's default of 10 to 30 minutes.
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
    """Return the device of this process. Under torchrun, `cuda` becomes `cuda:LOCAL_RANK`, which is made current."""
    if device.type != "cuda" or "LOCAL_RANK" not in os.environ:
        return device
    own = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(own)
    return own


def rank() -> int:
    """Return the 0-based rank of this process."""
    return dist.get_rank() if dist.is_initialized() else int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def local_shard(rows: Tensor) -> Tensor:
    """Return the part of (n,) rows that belongs to this process, one of `world_size` equal consecutive parts.

    Raises:
        ValueError: The number of rows is not a multiple of the world size.
    """
    if len(rows) % world_size():
        raise ValueError(f"{len(rows)} rows cannot be split evenly across {world_size()} processes")
    return rows.chunk(world_size())[rank()]


def gather(values: Tensor) -> Tensor:
    """Concatenate the values of all processes, (n / world size, ...), in the order of `local_shard`, to (n, ...).

    Gradients do not flow back; see `gather_with_gradient`.
    """
    if world_size() == 1:
        return values
    parts = [torch.empty_like(values) for _ in range(world_size())]
    dist.all_gather(parts, values.contiguous())
    return torch.cat(parts)


def gather_with_gradient(values: Tensor) -> Tensor:
    """Concatenate the values of all processes as `gather` does; gradients are summed over all processes."""
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


def gather_objects(value: T) -> list[T]:
    """Return the values of all processes in the order of their ranks; the values must be picklable."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def broadcast_from_rank0(value: T) -> T:
    """Broadcast the value of rank 0, which must be picklable, to all ranks."""
    if world_size() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values)
    return values[0]


def barrier() -> None:
    """Wait until every process has called this function."""
    if world_size() > 1:
        dist.barrier()
