"""Checkpoints: every known format in, safetensors out.

Nothing is loaded loosely. Every tensor goes by exact name and shape; the deliberate exceptions (a resized position
embedding, a decoder copied from the last block, heads that a source does not have) stand in the `LoadReport`.
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
    by_group,
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
    """What came out of a checkpoint. `copied` and `fresh` are groups of the FPC, `ignored` groups of the file.

    loaded: how many tensors of the file are in use.  resized: grid of positions in the file and in the model, where
    they differ.  copied: what a released FPC starts from as a copy too: the decoder, from the last block and norm.
    fresh: randomly initialised, to be trained before it means anything.
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
        """Whether the logits of `rec_classifier` are those of identities it was trained on."""
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
    """Read a released FPC, TransReID, timm or own checkpoint into an FPC in eval mode, float32, on the CPU.

    config: the model wanted; positions are resized to its grid, and a classifier for another number of identities is
    left fresh. Without it, our own files say what they are, and for the others it is inferred from the weights.
    stride: in place of the inferred one, for a checkpoint that leaves it open (see `leaves_stride_open`).
    to_train: as the start of a training on other data; camera embeddings for another number of cameras are then left
    fresh as well. Never to search with: fresh means random, though the same numbers at every load.
    Raises CheckpointError, listing missing, unexpected and misshapen tensors by group.
    """
    path = Path(path)
    tensors, metadata = read_tensors(path)
    own_config = _parse_config(metadata.get("config", ""), path) if metadata.get("format") == FORMAT else None
    source = Source.OWN if own_config else recognise(tensors)
    if source is None:
        raise CheckpointError(
            f"{path} is no FPC, TransReID or timm Vision Transformer checkpoint; it holds {by_group(tensors)}"
        )
    chosen = config is not None
    try:
        config = config or own_config or infer_config(source, tensors)
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(
            f"the architecture cannot be told from {path}: {error}; pass the config, or save it with its whole model"
        ) from error
    if stride not in (None, config.stride):
        if not leaves_stride_open(source):
            raise CheckpointError(f"{path} was trained with stride {config.stride}; it cannot be used with {stride}")
        config = replace(config, stride=stride)
    if config.depth > len(tensors):  # before anything of that depth is built
        raise CheckpointError(
            f"{path} holds {len(tensors)} tensors, too few for {config.depth} blocks; use another config"
        )

    try:
        with torch.device("meta"):
            model = FPC(config)
    except (RuntimeError, OverflowError, TypeError, ValueError) as error:  # of sizes that no tensor can have
        raise CheckpointError(f"{path} asks for a model that cannot be built ({error}); use another config") from error
    outline = model.state_dict()
    wanted = {name: tensor for name, tensor in outline.items() if tensor.numel()}
    empty = {name: torch.zeros(each.shape, dtype=each.dtype) for name, each in outline.items() if not each.numel()}
    layout = layout_of(source, config, wanted, tensors)
    strange = [key for key in tensors.keys() - set(layout.names.values()) if tensors[key].numel()]
    unexpected = [key for key in strange if not re.fullmatch(layout.ignored, key)]
    missing = [there for there in dict.fromkeys(layout.names.values()) if there not in tensors]
    if missing or unexpected:
        raise CheckpointError(
            f"{path} (kind {source.value}) does not fit a model of {config.depth} blocks. "
            f"Missing: {by_group(missing) or 'nothing'}. Unexpected: {by_group(sorted(unexpected)) or 'nothing'}. "
            "Use the file as its code saved it, or pass the config it was trained with"
        )
    state = {name: tensors[there] for name, there in layout.names.items()}
    resized = _fit_positions(state, tensors, source, config, own_config, path)
    of_dataset = {"classifier.weight": config.identities, "rec_classifier.weight": config.identities}
    if to_train:
        of_dataset["encoder.camera"] = config.cameras
    for name, count in of_dataset.items():
        if chosen and name in state and state[name].ndim and len(state[name]) != count:
            del state[name]
    _check_shapes(state, wanted, path)
    state = {name: _own_float(tensor) for name, tensor in state.items()}
    _check_values(state, path)

    fresh = wanted.keys() - state.keys()
    if fresh:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # the weights tell a memory that fits: two loads of a file must be the same model
            model = FPC(config)
    model.load_state_dict({**model.state_dict(), **empty, **state}, strict=True, assign=True)
    report = LoadReport(
        path=path,
        source=source,
        config=config,
        loaded=len({layout.names[name] for name in state}),
        resized=resized,
        copied=by_group(sorted(layout.copied)),
        fresh=by_group(name for name in wanted if name in fresh),
        ignored=by_group(sorted(key for key in tensors if re.fullmatch(layout.ignored, key))),
    )
    return model.eval(), report


def save_checkpoint(model: FPC, path: str | os.PathLike[str], dtype: torch.dtype = torch.float32) -> None:
    """Write safetensors with the config as JSON in its metadata; an interrupted write leaves the old file.

    Raises OSError where it cannot be written.

    dtype: of matrices and embeddings. Vectors (biases, norms, BNNeck statistics) stay as they are: they weigh nothing,
    and running variances may not fit half precision.
    """
    if not dtype.is_floating_point:
        raise ValueError(f"weights are saved in a floating point type, not {dtype}")
    path = Path(path)
    state = {
        name: (tensor.to(dtype) if tensor.ndim > 1 else tensor).detach().cpu().contiguous()
        for name, tensor in model.state_dict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with atomic_write(path) as place:
            save_file(state, place, metadata={"format": FORMAT, "config": json.dumps(asdict(model.config))})
    except (OSError, SafetensorError) as error:
        raise OSError(f"cannot write {path} ({error}); make room or choose another place") from error


def weights_fingerprint(model: FPC) -> str:
    """SHA-256 in hex over names, shapes and values of all tensors; the same on every device.

    A precision other than float32 is part of it: the same weights then encode the same image otherwise, and a memory, a
    result or a recipe of the one is none of the other.
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
            f"the config in {path} cannot be read: {error}; write the file again with save_checkpoint"
        ) from error


def _fit_positions(
    state: dict[str, Tensor],
    tensors: Mapping[str, Tensor],
    source: Source,
    config: ModelConfig,
    own_config: ModelConfig | None,
    path: Path,
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Resize `state`'s position embedding to the config's grid; returns both grids where they differ.

    Bicubic with antialiasing, as timm does it (`resample_abs_pos_embed`); TransReID's own code resizes bilinearly.
    """
    position = state[_POSITION]
    if (
        position.ndim != 3
        or position.shape[0] != 1
        or position.shape[1] < 2 + ("dist_token" in tensors)
        or position.shape[2] != config.width
    ):
        raise CheckpointError(
            f"the position embedding of {path} has shape {tuple(position.shape)}, not (1, 1 + N, {config.width}). "
            "Pass the config it was trained with; in training, leave out --model"
        )
    if "dist_token" in tensors:  # DeiT: [cls], distillation token, patches
        position = torch.cat((position[:, :1], position[:, 2:]), dim=1)
    there = own_config.grid if own_config else grid_of(position.shape[1] - 1, source, config.patch_size)
    if there is None and position.shape[1] - 1 == config.patches:
        there = config.grid
    if there is None or there[0] * there[1] != position.shape[1] - 1:
        raise CheckpointError(
            f"{path} has {position.shape[1] - 1} positions, of which the grid is unknown; "
            "pass the config it was trained with (image_size, stride)"
        )
    if there != config.grid:
        position = resample_abs_pos_embed(position, config.grid, there, interpolation="bicubic")
    state[_POSITION] = position
    return None if there == config.grid else (there, config.grid)


def _check_shapes(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], path: Path) -> None:
    wrong = [name for name, tensor in state.items() if tensor.shape != wanted[name].shape]
    if wrong:
        examples = "; ".join(f"{n} is {tuple(state[n].shape)}, not {tuple(wanted[n].shape)}" for n in wrong[:3])
        raise CheckpointError(
            f"{path} does not have the shapes of the config: {by_group(wrong)} ({examples}). "
            "Pass a config with its width, patch_size, mlp_ratio and cameras; in training, leave out --model"
        )
    kinds = [name for name, each in state.items() if each.is_floating_point() != wanted[name].is_floating_point()]
    if kinds:
        raise CheckpointError(f"{path} has whole numbers for fractions, or the other way, in {by_group(kinds)}")


def _check_values(state: Mapping[str, Tensor], path: Path) -> None:
    broken = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise CheckpointError(f"{path} holds values that are no numbers in {by_group(broken)}; take an earlier save")


def _own_float(tensor: Tensor) -> Tensor:
    """Float32 in memory of its own: a decoder copied from the last block must not train along with it."""
    return tensor.to(torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True).contiguous()
