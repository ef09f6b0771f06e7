"""Camera embeddings (SIE) of a checkpoint: replace them by their mean for data with other cameras.

The names of the tensors are those of the released code or of this project; `encoder` adds the embeddings to the tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from fpc_core.config import ModelConfig
from fpc_core.model.weight_files import CheckpointError, label


def use_mean_camera(
    tensors: dict[str, Tensor], config: ModelConfig, own_config: ModelConfig | None, path: Path
) -> tuple[dict[str, Tensor], ModelConfig, str]:
    """Replace the camera embeddings by their mean.

    Args:
        tensors: Tensors of the file under the common names.
        config: Architecture of the model.
        own_config: Architecture that the file states, or None.
        path: Path of the file, for messages.

    Returns:
        Tensors and architecture without cameras, and a sentence on the replacement.

    Raises:
        CheckpointError: The shapes of camera and position embeddings do not match.
    """
    position, camera = ("encoder.position", "encoder.camera") if own_config else ("base.pos_embed", "base.sie_embed")
    if camera in tensors and position in tensors:
        try:
            tensors = add_mean_camera(tensors, position, camera, config.camera_factor, on_cls=config.vit.camera_on_cls)
        except ValueError as error:
            raise CheckpointError(f"{label(path)}: {error}; use the original file") from error
    note = f"every image gets the mean of the {config.cameras} camera embeddings"
    return tensors, replace(config, cameras=0), note


def add_mean_camera(
    tensors: Mapping[str, Tensor], position: str, camera: str, factor: float, *, on_cls: bool
) -> dict[str, Tensor]:
    """Add the mean of the camera embeddings to the position embeddings, and remove the camera embeddings.

    Args:
        tensors: Tensors of a file.
        position: Name of the position embeddings, a tensor (1, 1 + N, C).
        camera: Name of the camera embeddings, a tensor (cameras, 1, C).
        factor: Factor of the camera embeddings (`ModelConfig.camera_factor`).
        on_cls: Whether the embedding belongs to `[cls]` alone (`VitOptions.camera_on_cls`).

    Raises:
        ValueError: The shapes do not match.
    """
    at, by_camera = tensors[position], tensors[camera]
    if at.ndim != 3 or by_camera.ndim != 3 or by_camera.shape[1] != 1 or by_camera.shape[2] != at.shape[2]:
        raise ValueError(f"{camera} of shape {tuple(by_camera.shape)} does not match {position} of {tuple(at.shape)}")
    rest = {name: tensor for name, tensor in tensors.items() if name != camera}
    mean = factor * by_camera.float().mean(dim=0)
    if on_cls:
        return rest | {position: torch.cat((at[:, :1].float() + mean, at[:, 1:].float()), dim=1)}
    return rest | {position: at.float() + mean}
