"""A device that is none: its tensors say `pretended:0`, hold their values on the CPU and refuse what CUDA refuses.

For machines without a GPU: `pretended()` runs code whose tensors lie on a device that is not the CPU. An operation that
mixes devices raises, and so does `numpy()` without `cpu()`. It proves where tensors lie, not what a GPU computes.
A backend is registered for the life of the process: run it in one of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

DEVICE = "pretended:0"
MOVES = ("aten.copy_", "aten._to_copy")
INDEXING = ("aten.index.Tensor", "aten.index_put", "aten._index_put_impl_", "aten._unsafe_index")


WAITS = ("aten._local_scalar_dense", "aten.nonzero", "aten.is_nonzero", "aten.equal.default", "aten.masked_select")
_waited: list[str] | None = None


@contextmanager
def counted_waits() -> Iterator[list[str]]:
    """Count operations for whose result the CPU would wait: transfers, and sizes that depend on values."""
    global _waited  # noqa: PLW0603 - operations are dispatched without a place for it
    _waited = names = []
    try:
        yield names
    finally:
        _waited = None


class Elsewhere(torch.Tensor):
    """A tensor on the pretended device; `cpu_tensor` has its values."""

    cpu_tensor: torch.Tensor

    @staticmethod
    def __new__(cls, cpu_tensor: torch.Tensor) -> "Elsewhere":
        return torch.Tensor._make_wrapper_subclass(
            cls,
            cpu_tensor.size(),
            strides=cpu_tensor.stride(),
            storage_offset=cpu_tensor.storage_offset(),
            dtype=cpu_tensor.dtype,
            device=DEVICE,
            requires_grad=cpu_tensor.requires_grad,
        )

    def __init__(self, cpu_tensor: torch.Tensor) -> None:
        self.cpu_tensor = cpu_tensor

    def __repr__(self) -> str:
        return f"Elsewhere({self.cpu_tensor!r})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


class _Pretending(TorchDispatchMode):
    """Sees what no argument gives away: moves to the device and tensors made there."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


def _run(func, args, kwargs):
    name, target_device = str(func), kwargs.get("device")
    tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
    there = [each for each in tensors if isinstance(each, Elsewhere)]
    here = [each for each in tensors if not isinstance(each, Elsewhere) and each.ndim]  # a number may come from the CPU
    indexed = name.startswith(INDEXING) and isinstance(args[0], Elsewhere)  # by indices of the CPU: CUDA allows it
    if there and here and not indexed and not name.startswith(MOVES):
        raise RuntimeError(f"{name}: tensors on {DEVICE} {_shapes(there)} and on the CPU {_shapes(here)}")
    masked = indexed and any(isinstance(each, Elsewhere) and each.dtype == torch.bool for each in args[1] or ())
    brought = (
        name.startswith(MOVES) and there and target_device is not None and torch.device(target_device).type == "cpu"
    )
    if _waited is not None and there and (name.startswith(WAITS) or masked or brought):
        _waited.append(name)
    if func is torch.ops.aten._fused_sdp_choice.default:
        return 0  # the plain form: the others ask the hardware
    if target_device is not None:
        on_device = torch.device(target_device).type != "cpu"
        kwargs = {**kwargs, "device": "cpu"}
    else:
        on_device = isinstance(args[0], Elsewhere) if name.startswith("aten.copy_") else bool(there)
    held_args, held_kwargs = tree_map_only(Elsewhere, lambda each: each.cpu_tensor, (args, kwargs))
    known = {id(each.cpu_tensor): each for each in there}  # what is written in place stays the same tensor

    def placed(found):
        if not isinstance(found, torch.Tensor):
            return found
        return known.get(id(found)) if id(found) in known else Elsewhere(found) if on_device else found

    return tree_map(placed, func(*held_args, **held_kwargs))


def _shapes(tensors: list[torch.Tensor]) -> str:
    return ", ".join(str(tuple(each.shape)) for each in tensors)


def _tensor(data: object, *, device: object = None, **rest: object) -> torch.Tensor:
    """`torch.tensor`, which fills a new tensor behind the back of every mode."""
    made = _made_here(data, **rest)
    return made if device is None else made.to(device)


_made_here = torch.tensor


def _no_grad(mode: torch.inference_mode) -> None:
    """Replace inference mode, which cannot hold such tensors; what it forbids is checked on the CPU."""
    mode._before = torch.is_grad_enabled()
    torch.set_grad_enabled(mode._before and not mode.mode)


def _grad_again(mode: torch.inference_mode, *_: object) -> None:
    torch.set_grad_enabled(mode._before)


@contextmanager
def pretended() -> Iterator[None]:
    """Make DEVICE available inside the context."""
    _setup_privateuseone_for_python_backend("pretended")
    with (
        _Pretending(),
        mock.patch.object(torch.inference_mode, "__enter__", _no_grad),
        mock.patch.object(torch.inference_mode, "__exit__", _grad_again),
        mock.patch("torch.tensor", _tensor),
        mock.patch("torch.__future__.get_overwrite_module_params_on_conversion", return_value=True),
    ):
        yield
