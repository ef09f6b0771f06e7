"""Load checkpoints of all supported formats, and save checkpoints as safetensors.

Loading is strict: every tensor is assigned by exact name and shape. The `LoadReport` lists the deliberate exceptions: a
resized position embedding, a decoder copied from the last block, and heads that a format does not have.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed
from torch import Tensor

from fpc_core.config import ModelConfig, Precision
from fpc_core.io.atomic_write import atomic_write
from fpc_core.io.dataclass_json import build
from fpc_core.model.checkpoint_layouts import (
    Source,
    count_by_group,
    grid_of,
    infer_config,
    layout_of,
    leaves_stride_open,
    recognise,
)
from fpc_core.model.fpc import FPC
from fpc_core.model.weight_files import CheckpointError, read_tensors

FORMAT = "fpc 1"
_POSITION = "encoder.position"


@dataclass(frozen=True)
class LoadReport:
    """What was loaded from a checkpoint.

    Attributes:
        path: Path of the file.
        source: Format of the file.
        config: Architecture of the model.
        loaded: Number of tensors in the file that are used.
        resized: Grids of the position embeddings in the file and in the model; None if they are equal.
        copied: Tensors of the model that are copies of other tensors, by group: the decoder, which is copied from the
            last block and norm, as at the start of training in the released code.
        fresh: Tensors of the model that are randomly initialised and must be trained, by group.
        ignored: Tensors of the file that are not used, by group.
    """

    path: Path
    source: Source
    config: ModelConfig
    loaded: int
    resized: tuple[tuple[int, int], tuple[int, int]] | None
    copied: str
    fresh: str
    ignored: str

    @property
    def knows_identities(self) -> bool:
        """Whether `rec_classifier` was loaded, so that its logits belong to training identities."""
        return "rec_classifier" not in self.fresh

    def __str__(self) -> str:
        lines = [f"{self.path.name}: {self.loaded} tensors of a checkpoint of kind {self.source.value}"]
        if self.resized:
            (rows, columns), (new_rows, new_columns) = self.resized
            lines.append(f"position embedding resized from {rows} x {columns} to {new_rows} x {new_columns}")
        for what in ("copied", "fresh", "ignored"):
            if groups := getattr(self, what):
                lines.append(f"{what}: {groups}")
        return "\n".join(lines)


def load_checkpoint(
    path: str | os.PathLike[str],
    *,
    config: ModelConfig | None = None,
    stride: int | None = None,
    to_train: bool = False,
) -> tuple[FPC, LoadReport]:
    """Load a checkpoint of FPC Explorer, released FPC, TransReID or timm as a float32 model in eval mode on the CPU.

    Args:
        path: Path of the file.
        config: Architecture of the model. Position embeddings are resized to its grid, and a classifier for another
            number of identities is randomly initialised. By default, it is read from files that `save_checkpoint` wrote
            and inferred from the weights of other files.
        stride: Stride that replaces the inferred one, for checkpoints that allow it (see `leaves_stride_open`).
        to_train: Whether to load the model to train it on other data. Camera embeddings for another number of cameras
            are then randomly initialised, too, so the model is not suitable for searching.

    Returns:
        The model and a report of what was loaded.

    Raises:
        CheckpointError: The file cannot be used. The message lists missing, unexpected and misshapen tensors by group.
    """
    path = Path(path)
    tensors, metadata = read_tensors(path)
    own_config = _parse_config(metadata.get("config", ""), path) if metadata.get("format") == FORMAT else None
    source = Source.OWN if own_config else recognise(tensors)
    if source is None:
        raise CheckpointError(
            f"{path} is not an FPC, TransReID or timm Vision Transformer checkpoint; it contains "
            f"{count_by_group(tensors)}"
        )
    chosen = config is not None
    try:
        config = config or own_config or infer_config(source, tensors)
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(
            f"the architecture cannot be inferred from {path}: {error}; pass the config, or save the complete model"
        ) from error
    if stride not in (None, config.stride):
        if not leaves_stride_open(source):
            raise CheckpointError(f"{path} was trained with stride {config.stride}; it cannot be used with {stride}")
        config = replace(config, stride=stride)
    if config.depth > len(tensors):  # This check prevents building a model of an absurd depth.
        raise CheckpointError(
            f"{path} contains {len(tensors)} tensors, too few for {config.depth} blocks; use another config"
        )

    try:
        with torch.device("meta"):
            model = FPC(config)
    except (RuntimeError, OverflowError, TypeError, ValueError) as error:  # The config has impossible tensor sizes.
        raise CheckpointError(f"the model of {path} cannot be built ({error}); use another config") from error
    template = model.state_dict()
    expected = {name: tensor for name, tensor in template.items() if tensor.numel()}
    empty = {name: torch.zeros(each.shape, dtype=each.dtype) for name, each in template.items() if not each.numel()}
    layout = layout_of(source, config, expected, tensors)
    unknown = [key for key in tensors.keys() - set(layout.names.values()) if tensors[key].numel()]
    unexpected = [key for key in unknown if not re.fullmatch(layout.ignored, key)]
    missing = [key for key in dict.fromkeys(layout.names.values()) if key not in tensors]
    if missing or unexpected:
        raise CheckpointError(
            f"{path} (kind {source.value}) does not match a model of {config.depth} blocks. "
            f"Missing: {count_by_group(missing) or 'nothing'}. "
            f"Unexpected: {count_by_group(sorted(unexpected)) or 'nothing'}. "
            "Use the original file, or pass the config it was trained with"
        )
    state = {name: tensors[key] for name, key in layout.names.items()}
    resized = _fit_positions(state, tensors, source, config, own_config, path)
    dataset_sizes = {"classifier.weight": config.identities, "rec_classifier.weight": config.identities}
    if to_train:
        dataset_sizes["encoder.camera"] = config.cameras
    for name, count in dataset_sizes.items():
        if chosen and name in state and state[name].ndim and len(state[name]) != count:
            del state[name]
    _check_shapes(state, expected, path)
    state = {name: _copy_as_float32(tensor) for name, tensor in state.items()}
    _check_values(state, path)

    fresh = expected.keys() - state.keys()
    if fresh:
        with torch.random.fork_rng(devices=[]):
            # Loading a file twice must give the same model, because its weights identify the gallery memory.
            torch.manual_seed(0)
            model = FPC(config)
    model.load_state_dict({**model.state_dict(), **empty, **state}, strict=True, assign=True)
    report = LoadReport(
        path=path,
        source=source,
        config=config,
        loaded=len({layout.names[name] for name in state}),
        resized=resized,
        copied=count_by_group(sorted(layout.copied)),
        fresh=count_by_group(name for name in expected if name in fresh),
        ignored=count_by_group(sorted(key for key in tensors if re.fullmatch(layout.ignored, key))),
    )
    return model.eval(), report


def save_checkpoint(model: FPC, path: str | os.PathLike[str], dtype: torch.dtype = torch.float32) -> None:
    """Write a model atomically as safetensors, with its config as JSON in the metadata.

    Args:
        model: Model to save.
        path: Path of the file; missing folders are created.
        dtype: Data type of matrices and embeddings. Vectors (biases, norms, BNNeck statistics) keep their type, because
            they are small and running variances may exceed the range of half precision.

    Raises:
        OSError: The file cannot be written.
        ValueError: `dtype` is not a floating point type.
    """
    if not dtype.is_floating_point:
        raise ValueError(f"dtype must be a floating point type, got {dtype}")
    path = Path(path)
    state = {
        name: (tensor.to(dtype) if tensor.ndim > 1 else tensor).detach().cpu().contiguous()
        for name, tensor in model.state_dict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with atomic_write(path) as partial:
            save_file(state, partial, metadata={"format": FORMAT, "config": json.dumps(asdict(model.config))})
    except (OSError, SafetensorError) as error:
        raise OSError(f"cannot write {path} ({error}); free disk space or choose another folder") from error


def weights_fingerprint(model: FPC) -> str:
    """Return the SHA-256, in hex, of the names, shapes and values of all tensors; it is the same on every device.

    A precision other than float32 is also included, because it changes encodings, so that gallery memories, results and
    recipes of different precisions must not be mixed.
    """
    digest = hashlib.sha256()
    if model.encoder.precision is not Precision.FLOAT32:
        digest.update(f"{model.encoder.precision.value}\n".encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).numpy().view(np.uint8))
    return digest.hexdigest()


def _parse_config(text: str, path: Path) -> ModelConfig:
    try:
        config: ModelConfig = build(ModelConfig, json.loads(text))
        return config
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"the config in {path} is invalid: {error}; write the file again with save_checkpoint"
        ) from error


def _fit_positions(
    state: dict[str, Tensor],
    tensors: Mapping[str, Tensor],
    source: Source,
    config: ModelConfig,
    own_config: ModelConfig | None,
    path: Path,
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Resize the position embedding in `state` to the config's grid, and return both grids if they differ.

    Interpolation is bicubic with antialiasing, as in timm's `resample_abs_pos_embed`; TransReID's code resizes
    bilinearly.
    """
    position = state[_POSITION]
    if (
        position.ndim != 3
        or position.shape[0] != 1
        or position.shape[1] < 2 + ("dist_token" in tensors)
        or position.shape[2] != config.width
    ):
        raise CheckpointError(
            f"the position embedding of {path} must be (1, 1 + N, {config.width}), got {tuple(position.shape)}. "
            "Pass the config it was trained with; for training, omit --model"
        )
    if "dist_token" in tensors:  # A DeiT has positions for [cls], a distillation token, and the patches.
        position = torch.cat((position[:, :1], position[:, 2:]), dim=1)
    grid = own_config.grid if own_config else grid_of(position.shape[1] - 1, source, config.patch_size)
    if grid is None and position.shape[1] - 1 == config.patches:
        grid = config.grid
    if grid is None or grid[0] * grid[1] != position.shape[1] - 1:
        raise CheckpointError(
            f"{path} has {position.shape[1] - 1} positions whose grid is unknown; "
            "pass the config it was trained with (image_size, stride)"
        )
    if grid != config.grid:
        position = resample_abs_pos_embed(position, config.grid, grid, interpolation="bicubic")
    state[_POSITION] = position
    return None if grid == config.grid else (grid, config.grid)


def _check_shapes(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> None:
    wrong = [name for name, tensor in state.items() if tensor.shape != expected[name].shape]
    if wrong:
        examples = "; ".join(f"{n} is {tuple(state[n].shape)}, not {tuple(expected[n].shape)}" for n in wrong[:3])
        raise CheckpointError(
            f"{path} does not have the shapes of the config: {count_by_group(wrong)} ({examples}). "
            "Pass a config with its width, patch_size, mlp_ratio and cameras; for training, omit --model"
        )
    mismatched = [
        name for name, each in state.items() if each.is_floating_point() != expected[name].is_floating_point()
    ]
    if mismatched:
        raise CheckpointError(
            f"{path} has a dtype mismatch (integer vs. floating point) in {count_by_group(mismatched)}; "
            "use the original file"
        )


def _check_values(state: Mapping[str, Tensor], path: Path) -> None:
    broken = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise CheckpointError(f"{path} contains NaN or Inf in {count_by_group(broken)}; use an earlier checkpoint")


def _copy_as_float32(tensor: Tensor) -> Tensor:
    """Return a copy with separate storage, because training must not change copied tensors together."""
    return tensor.to(torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True).contiguous()
