"""Several processes, one training: what `torchrun` started, joined by torch.distributed.

Without torchrun there is one process and every function here does nothing to its argument.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Join the other processes of a torchrun, if there are any, and leave them at the end."""
    if "RANK" not in os.environ or dist.is_initialized():
        yield
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
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
    return dist.get_rank() if dist.is_initialized() else int(os.environ.get("RANK", "0"))


def world() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def own_share(rows: Tensor) -> Tensor:
    """The rows of this process: (n,) -> (n / world,), the rank-th of equal runs. Raises ValueError for a rest."""
    if len(rows) % world():
        raise ValueError(f"{len(rows)} rows do not share out evenly among {world()} processes")
    return rows.view(world(), -1)[rank()]


def gather(values: Tensor) -> Tensor:
    """The values of all processes in the order of `own_share`: (n / world, ...) -> (n, ...). No gradient."""
    if world() == 1:
        return values
    parts = [torch.empty_like(values) for _ in range(world())]
    dist.all_gather(parts, values.contiguous())
    return torch.cat(parts)


def gather_with_gradient(values: Tensor) -> Tensor:
    """`gather` through which every process gets the gradients that all of them have for its values, summed."""
    if world() == 1:
        return values
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(values))


def from_first(value: float) -> float:
    """The first process's value, in every process."""
    if world() == 1:
        return value
    told = [value]
    dist.broadcast_object_list(told)
    return told[0]


def wait_for_all() -> None:
    if world() > 1:
        dist.barrier()
