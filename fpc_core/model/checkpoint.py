"""Load checkpoints of all supported formats, and save checkpoints as safetensors.

Loading is strict: every tensor is assigned by exact name and shape. The `LoadReport` lists the deliberate exceptions: a
resized position embedding, a decoder copied from the last block, and heads that a format does not have.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from fpc_core.config import Activation, ModelConfig, Precision, Stem, VitOptions
from fpc_core.io.atomic_write import atomic_write
from fpc_core.io.dataclass_json import build
from fpc_core.model.adapt import COUNTER, adapt, convert_counters
from fpc_core.model.families import FAMILIES, Settings, Source, find_unsupported, recognise
from fpc_core.model.fpc import FPC
from fpc_core.model.load_report import LoadReport
from fpc_core.model.mean_camera import use_mean_camera
from fpc_core.model.positions import Size, fit_positions, format_size
from fpc_core.model.tensor_mapping import brief, count_by_group, infer_config, mapping_of, vit_options
from fpc_core.model.tensor_names import find_model
from fpc_core.model.weight_files import CheckpointError, WeightFile, label, read_tensors

FORMAT = "fpc 1"


def load_checkpoint(
    path: str | os.PathLike[str],
    *,
    config: ModelConfig | None = None,
    image_size: Size | None = None,
    stride: int | None = None,
    heads: int | None = None,
    mean_camera: bool = False,
    to_train: bool = False,
) -> tuple[FPC, LoadReport]:
    """Load a checkpoint of one of the supported families (`families`) as a float32 model in eval mode on the CPU.

    Args:
        path: Path of the file.
        config: Architecture of the model. Position embeddings are resized to its grid, and a classifier for another
            number of identities is randomly initialised. By default, it is read from files that `save_checkpoint` wrote
            and inferred from the weights of other files.
        image_size: Height and width of the input in pixels, if the file does not determine them.
        stride: Stride of the patches in pixels, if the file does not determine it (see `positions.place`).
        heads: Number of attention heads, if the width does not determine it.
        mean_camera: Whether to give every image the mean of the camera embeddings, for data whose cameras are not those
            that the weights were trained with.
        to_train: Whether to load the model to train it on other data. Camera embeddings for another number of cameras
            are then randomly initialised, too, so the model is not suitable for searching.

    Returns:
        The model and a report of what was loaded.

    Raises:
        CheckpointError: The file cannot be used. The message starts with the cause: a layer, a size or an object.
    """
    path = Path(path)
    file = read_tensors(path)
    own_config = _parse_config(file.metadata.get("config", ""), path) if file.metadata.get("format") == FORMAT else None
    chosen = config is not None
    content = _recognise(file, own_config, path)
    source, tensors, notes = content.source, content.tensors, content.notes
    stated = {"image_size": image_size, "stride": stride, "heads": heads}
    config, assumed, trained = _architecture(content, config, own_config, stated, path)
    if mean_camera and config.cameras:
        tensors, config, note = use_mean_camera(tensors, config, own_config, path)
        notes = (*notes, note)

    expected, empty = _template(config, path)
    mapping = mapping_of(source, config, expected, tensors)
    optional = {name for name, key in mapping.names.items() if key not in tensors and _is_optional(name, source)}
    names = {name: key for name, key in mapping.names.items() if name not in optional}
    unknown = [key for key in tensors.keys() - set(names.values()) if tensors[key].numel()]
    unexpected = sorted(key for key in unknown if not re.fullmatch(mapping.ignored, key))
    missing = [key for key in dict.fromkeys(names.values()) if key not in tensors]
    if missing or unexpected:
        raise CheckpointError(_mismatch(path, source, config, missing, unexpected))
    state, counted = convert_counters({name: tensors[key] for name, key in names.items()}, expected)
    notes += ("counters of batch normalisation converted to integers or set to 0",) * counted
    resized = fit_positions(state, FAMILIES[source].is_plain, config, own_config, trained, path)
    dataset_sizes = {"classifier.weight": config.identities, "rec_classifier.weight": config.identities}
    if to_train:
        dataset_sizes["encoder.camera"] = config.cameras
    removed = 0
    for name, count in dataset_sizes.items():
        if chosen and name in state and state[name].ndim and len(state[name]) != count:
            del state[name]
            removed += 1
    _check_shapes(state, expected, path)
    state = {name: _copy_as_float32(tensor) for name, tensor in state.items()}
    _check_values(state, path)

    fresh = expected.keys() - state.keys()
    with torch.random.fork_rng(devices=[]):
        # Loading a file twice must give the same model, because its weights identify the gallery memory.
        torch.manual_seed(0)
        with torch.device("cpu" if fresh else "meta"):
            model = FPC(config)
    model.load_state_dict({**model.state_dict(), **empty, **state}, strict=True, assign=True)
    ignored = sorted(key for key in tensors if re.fullmatch(mapping.ignored, key))
    empty_in_file = len(tensors.keys() - set(names.values()) - set(ignored))
    report = LoadReport(
        path=path,
        source=source,
        config=config,
        loaded=content.stored - len(ignored) - empty_in_file - removed,
        resized=resized,
        copied=count_by_group(sorted(mapping.copied)),
        fresh=count_by_group(name for name in expected if name in fresh),
        ignored=count_by_group(ignored),
        stored=len(file.tensors),
        assumed=assumed,
        adapted=notes,
        aside=content.aside,
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
            save_file(state, partial, metadata={"format": FORMAT, "config": json.dumps(model.config.as_dict())})
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
            f"the config in {label(path)} is invalid: {error}; write the file again with save_checkpoint"
        ) from error


@dataclass(frozen=True)
class _Content:
    """Content of a weight file.

    Attributes:
        source: Family of the model.
        tensors: Tensors under the names that all families share (see `families.Converted`).
        settings: Settings that the family determines.
        notes: Sentences on how tensors were converted.
        aside: List of content that is not part of the model.
        stored: Number of the model's tensors in the file, before they were converted.
    """

    source: Source
    tensors: dict[str, Tensor]
    settings: Settings
    notes: tuple[str, ...]
    aside: str
    stored: int


def _recognise(file: WeightFile, own_config: ModelConfig | None, path: Path) -> _Content:
    beside = ", ".join(file.others)
    beside += f"{'; ' * bool(beside)}objects of {', '.join(file.passed_over)}" if file.passed_over else ""
    if own_config:
        return _Content(Source.OWN, file.tensors, Settings(), (), brief(beside), len(file.tensors))
    try:
        found = find_model(file.tensors)
        named = {name: file.tensors[key] for name, key in found.keys.items()}
        everything = {**{key: file.tensors[key] for key in found.aside}, **named}
        source = recognise(everything)
        if refusal := find_unsupported(everything, is_vit=source is not None):
            raise CheckpointError(f"{label(path)} {refusal}")
        if source is None:
            raise CheckpointError(_unknown(file, path))
        converted = FAMILIES[source].convert(named)
        tensors, notes = adapt(converted.tensors)
        settings = FAMILIES[source].configure(everything)
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f"{label(path)} cannot be used: {error}") from error
    _check_patch_embedding(tensors, FAMILIES[source].base, settings, path)
    aside = brief("; ".join(filter(None, (count_by_group(found.aside), beside))))
    return _Content(source, tensors, settings, (*converted.notes, *notes), aside, len(named))


def _unknown(file: WeightFile, path: Path) -> str:
    """Return the message for a file whose model is of no supported family."""
    contains = f"it contains {brief(count_by_group(file.tensors))}"
    if file.others and len(file.tensors) < len(file.others) + 2:
        contains = f"and does not contain a dictionary of tensors ({brief(', '.join(file.others))})"
    return f"{label(path)} is not an FPC, TransReID or timm Vision Transformer checkpoint; {contains}"


def _check_patch_embedding(tensors: Mapping[str, Tensor], base: str, settings: Settings, path: Path) -> None:
    if settings.vit.stem is not Stem.NONE:
        return
    projection = tensors.get(f"{base}patch_embed.proj.weight")
    stem = [
        name for name in tensors if re.fullmatch(rf"{re.escape(base)}patch_embed\.(?!proj\.(weight|bias)$).+", name)
    ]
    if stem or (projection is not None and projection.ndim == 4 and projection.shape[1] != 3):
        raise CheckpointError(
            f"{brief(stem[0] if stem else base + 'patch_embed.proj.weight', 80)} in {label(path)} belongs to a "
            "convolutional stem, which is not supported: the patch embedding must be one convolution of the image; use "
            "weights without such a stem"
        )


def assumed_functions(vit: VitOptions) -> str:
    """Return a sentence on the activation and the epsilon of the norms, which no tensor reveals.

    Weights that were trained with other ones load without an error, but give wrong results.
    """
    activation = "quick GELU" if vit.activation is Activation.QUICK_GELU else "exact GELU"
    source = "as in CLIP" if vit.activation is Activation.QUICK_GELU else "as in ViT (not quick GELU as in CLIP)"
    return f"{activation} and an epsilon of {vit.norm_eps:g} in the norms, {source}"


def _architecture(
    content: _Content, config: ModelConfig | None, own_config: ModelConfig | None, stated: Mapping[str, Any], path: Path
) -> tuple[ModelConfig, tuple[str, ...], tuple[int, int] | None]:
    """Determine the architecture of the model.

    Args:
        content: Content of the file.
        config: Architecture that the caller passed, or None.
        own_config: Architecture that the file states, or None.
        stated: Image size, stride and heads that the caller passed, by name; None for those that were not passed.
        path: Path of the file, for messages.

    Returns:
        The architecture, sentences on what was assumed, and the grid of the file's positions if the architecture was
        inferred.

    Raises:
        CheckpointError: The architecture cannot be inferred, or does not fit the file.
    """
    assumed: tuple[str, ...] = ()
    trained: tuple[int, int] | None = None
    source, tensors = content.source, content.tensors
    if source is not Source.OWN and config is not None:
        try:
            config = replace(config, vit=vit_options(source, tensors, content.settings))
        except ValueError as error:
            raise CheckpointError(f"{label(path)} does not fit the config: {error}; use another config") from error
    config = config or own_config
    if config is None:
        try:
            inferred = infer_config(source, tensors, content.settings, **stated)
        except (KeyError, ValueError, IndexError, ZeroDivisionError) as error:
            cause = f"the tensor {error} is missing" if isinstance(error, KeyError) else str(error)
            raise CheckpointError(f"{cause} (the architecture cannot be inferred from {label(path)})") from error
        config, trained = inferred.config, inferred.placement.grid
        assumed = (*inferred.assumed, *content.settings.assumed)
    for name, value in stated.items():
        if value is not None and value != (fixed := getattr(config, name)):
            shown = [format_size(each) if isinstance(each, tuple) else each for each in (fixed, value)]
            raise CheckpointError(
                f"{label(path)} was trained with {name.replace('_', ' ')} {shown[0]}; it cannot be used with {shown[1]}"
            )
    if source is not Source.OWN:
        assumed += (assumed_functions(config.vit),)
    if config.depth > len(tensors):  # This check prevents building a model of an absurd depth.
        raise CheckpointError(
            f"{label(path)} contains {len(tensors)} tensors, too few for {config.depth} blocks; use another config"
        )
    return config, assumed, trained


def _template(config: ModelConfig, path: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the tensors of the model without their data (on the meta device), and its tensors without elements."""
    try:
        with torch.device("meta"):
            template = FPC(config).state_dict()
    except (RuntimeError, OverflowError, TypeError, ValueError) as error:  # The config has impossible tensor sizes.
        raise CheckpointError(f"the model of {label(path)} cannot be built ({error}); use another config") from error
    expected = {name: tensor for name, tensor in template.items() if tensor.numel()}
    return expected, {name: torch.zeros(t.shape, dtype=t.dtype) for name, t in template.items() if not t.numel()}


def _is_optional(name: str, source: Source) -> bool:
    """Return whether a file of a family may lack the tensor `name` of an FPC, because searches do not need it."""
    heads = () if source is Source.OWN else ("classifier.weight", "rec_classifier.weight")
    return name in heads or name.endswith(COUNTER)


def _mismatch(
    path: Path, source: Source, config: ModelConfig, missing: Sequence[str], unexpected: Sequence[str]
) -> str:
    """Return the message for a file with missing or unexpected tensors, which begins with one of them."""
    cause = [f"{brief(key, 80)} is not part of this model" for key in unexpected[:1]]
    cause += [f"{brief(key, 80)} is missing" for key in missing[:1]]
    return (
        f"{label(path)}: {' and '.join(cause)} (kind {source.value}, {config.depth} blocks). "
        f"Missing: {brief(count_by_group(missing)) or 'nothing'}. "
        f"Unexpected: {brief(count_by_group(unexpected)) or 'nothing'}. "
        "Use the original file, or pass the config it was trained with"
    )


def _check_shapes(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> None:
    wrong = [name for name, tensor in state.items() if tensor.shape != expected[name].shape]
    if wrong:
        examples = "; ".join(f"{n} is {tuple(state[n].shape)}, not {tuple(expected[n].shape)}" for n in wrong[:3])
        raise CheckpointError(
            f"{label(path)} does not have the shapes of the config: {brief(count_by_group(wrong))} "
            f"({brief(examples)}). "
            "Pass a config with its width, patch_size, mlp_ratio and cameras; for training, omit --model"
        )
    mismatched = [
        name for name, each in state.items() if each.is_floating_point() != expected[name].is_floating_point()
    ]
    if mismatched:
        raise CheckpointError(
            f"{label(path)} has a dtype mismatch (integer vs. floating point) in {brief(count_by_group(mismatched))}; "
            "use the original file"
        )


def _check_values(state: Mapping[str, Tensor], path: Path) -> None:
    broken = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise CheckpointError(
            f"{label(path)} contains NaN or Inf in {brief(count_by_group(broken))}; use an earlier checkpoint"
        )


def _copy_as_float32(tensor: Tensor) -> Tensor:
    """Return a copy with separate storage, because training must not change copied tensors together."""
    return tensor.to(torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True).contiguous()
