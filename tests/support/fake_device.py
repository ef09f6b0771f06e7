"""A fake device for tests of device placement on machines without a GPU.

Its tensors report the device `simulated:0`, store their values on the CPU and refuse what CUDA refuses: operations that
mix devices, and `numpy()` without `cpu()`. Tests on it show on which device tensors are, but not what a GPU computes.
The backend stays registered until the process ends, so use it in a separate process.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

DEVICE = "simulated:0"
MOVES = ("aten.copy_", "aten._to_copy")
INDEXING = ("aten.index.Tensor", "aten.index_put", "aten._index_put_impl_", "aten._unsafe_index")
WAITING = ("aten._local_scalar_dense", "aten.nonzero", "aten.is_nonzero", "aten.equal.default", "aten.masked_select")
_waits: list[str] | None = None


@contextmanager
def count_waits() -> Iterator[list[str]]:
    """Yield a list of the operations for which the CPU would wait: transfers, and sizes that depend on values."""
    global _waits  # noqa: PLW0603  `__torch_dispatch__` has no argument for it.
    _waits = names = []
    try:
        yield names
    finally:
        _waits = None


class FakeDeviceTensor(torch.Tensor):
    """A tensor on the fake device; `cpu_tensor` has its values."""

    cpu_tensor: torch.Tensor

    @staticmethod
    def __new__(cls, cpu_tensor: torch.Tensor) -> "FakeDeviceTensor":
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
        return f"FakeDeviceTensor({self.cpu_tensor!r})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


class _FakeDeviceMode(TorchDispatchMode):
    """Intercept operations whose arguments are not on the device: transfers to it, and new tensors on it."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


def _run(func, args, kwargs):
    name, target_device = str(func), kwargs.get("device")
    tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
    there = [each for each in tensors if isinstance(each, FakeDeviceTensor)]
    # CUDA accepts single numbers from the CPU.
    here = [each for each in tensors if not isinstance(each, FakeDeviceTensor) and each.ndim]
    indexed = name.startswith(INDEXING) and isinstance(args[0], FakeDeviceTensor)  # CUDA accepts indices on the CPU.
    if there and here and not indexed and not name.startswith(MOVES):
        raise RuntimeError(f"{name}: tensors on {DEVICE} {_shapes(there)} and on the CPU {_shapes(here)}")
    masked = indexed and any(isinstance(each, FakeDeviceTensor) and each.dtype == torch.bool for each in args[1] or ())
    to_cpu = (
        name.startswith(MOVES) and there and target_device is not None and torch.device(target_device).type == "cpu"
    )
    if _waits is not None and there and (name.startswith(WAITING) or masked or to_cpu):
        _waits.append(name)
    if func is torch.ops.aten._fused_sdp_choice.default:
        return 0  # The plain implementation; the choice of others depends on the hardware.
    if target_device is not None:
        on_device = torch.device(target_device).type != "cpu"
        kwargs = {**kwargs, "device": "cpu"}
    else:
        on_device = isinstance(args[0], FakeDeviceTensor) if name.startswith("aten.copy_") else bool(there)
    cpu_args, cpu_kwargs = tree_map_only(FakeDeviceTensor, lambda each: each.cpu_tensor, (args, kwargs))
    known = {id(each.cpu_tensor): each for each in there}  # An operation in place returns the same tensor.

    def wrap(result):
        if not isinstance(result, torch.Tensor):
            return result
        return known.get(id(result)) if id(result) in known else FakeDeviceTensor(result) if on_device else result

    return tree_map(wrap, func(*cpu_args, **cpu_kwargs))


def _shapes(tensors: list[torch.Tensor]) -> str:
    return ", ".join(str(tuple(each.shape)) for each in tensors)


def _tensor(data: object, *, device: object = None, **rest: object) -> torch.Tensor:
    """Replace `torch.tensor`, which fills a new tensor without calling `__torch_dispatch__`."""
    made = _torch_tensor(data, **rest)
    return made if device is None else made.to(device)


_torch_tensor = torch.tensor


def _no_grad(mode: torch.inference_mode) -> None:
    """Replace inference mode, which does not support these tensors, by a mode without gradients."""
    mode._before = torch.is_grad_enabled()
    torch.set_grad_enabled(mode._before and not mode.mode)


def _restore_grad(mode: torch.inference_mode, *_: object) -> None:
    torch.set_grad_enabled(mode._before)


@contextmanager
def fake_device() -> Iterator[None]:
    """Make DEVICE available inside the `with` block."""
    _setup_privateuseone_for_python_backend("simulated")
    with (
        _FakeDeviceMode(),
        mock.patch.object(torch.inference_mode, "__enter__", _no_grad),
        mock.patch.object(torch.inference_mode, "__exit__", _restore_grad),
        mock.patch("torch.tensor", _tensor),
        mock.patch("torch.__future__.get_overwrite_module_params_on_conversion", return_value=True),
    ):
        yield
