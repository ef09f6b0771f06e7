"""Camera embeddings (SIE) of a checkpoint: replace them by their mean for data with other cameras.

The names of the tensors are those of the released code or of this project; `encoder` adds the embeddings to the tokens.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from fpc_core.config import ModelConfig
from fpc_core.model.weight_files import CheckpointError, label


def use_mean_camera(
    tensors: dict[str, Tensor], config: ModelConfig, own_config: ModelConfig | None, path: Path
) -> tuple[dict[str, Tensor], ModelConfig, str]:
    """Remove the camera embeddings, and add their mean to the position embeddings.

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
        at, by_camera = tensors[position], tensors[camera]
        if at.ndim != 3 or by_camera.ndim != 3 or by_camera.shape[1] != 1 or by_camera.shape[2] != at.shape[2]:
            raise CheckpointError(
                f"{label(path)}: {camera} of shape {tuple(by_camera.shape)} does not match {position} of "
                f"{tuple(at.shape)}; use the original file"
            )
        added = config.camera_factor * by_camera.float().mean(dim=0)
        if config.vit.camera_on_cls:
            with_mean = torch.cat((at[:, :1].float() + added, at[:, 1:].float()), dim=1)
        else:
            with_mean = at.float() + added
        tensors = {name: tensor for name, tensor in tensors.items() if name != camera} | {position: with_mean}
    note = f"every image gets the mean of the {config.cameras} camera embeddings"
    return tensors, replace(config, cameras=0), note
