"""Adapters of plain Vision Transformers with the tensor names of timm.

The families differ in their tokens besides `[cls]` and in which tokens have a position embedding.
"""

from __future__ import annotations

import math
import re
from functools import partial

import torch
from torch import Tensor

from fpc_core.model.families.family import (
    ANY_SIZE,
    IMAGENET,
    Converted,
    Family,
    Settings,
    Tensors,
    check_dimensions,
    starts_with,
)
from fpc_core.model.positions import IMAGE_SIZES, grid_size

_REGISTERS = ("reg_token", "register_tokens")  # Names of the registers in timm and in DINOv2.
_DINO_HEAD = re.compile(r"(^|\.)head\.(last_layer|mlp)\.")
_DINOV2_PATCH = 14
_MIN_SIDE = 7  # Minimum number of rows of a square grid; smaller grids are not in use and would cause wrong guesses.


def is_plain_vit(tensors: Tensors) -> bool:
    """Return whether tensors have timm's names of a Vision Transformer."""
    return starts_with(tensors, "blocks.") and "pos_embed" in tensors


def convert_plain(tensors: Tensors) -> Converted:
    """Join extra tokens, add their positions, and give `[cls]` the position 0 if it has none.

    Args:
        tensors: Tensors with timm's names.

    Raises:
        ValueError: A token or the position embedding does not have the expected number of dimensions.
    """
    converted, notes = dict(tensors), []
    extra = [(name, tensors[name]) for name in ("dist_token", *_REGISTERS) if name in tensors]
    if "pos_embed" not in tensors:
        raise ValueError("the position embedding is missing; use the original file")
    position = tensors["pos_embed"]
    if extra or has_layer_scale(tensors):
        check_dimensions(tensors, {"pos_embed": 3, **{name: 3 for name, _ in extra}})
        for name, each in (("pos_embed", position), *extra):
            if len(each) != 1 or each.shape[2] != position.shape[2]:
                raise ValueError(
                    f"{name} must be (1, tokens, {position.shape[2]}), got {tuple(each.shape)}; use the original file"
                )
    count = sum(each.shape[1] for _, each in extra)
    with_position = _tokens_with_position(tensors, count)
    if extra and position.shape[1] <= with_position:
        raise ValueError(f"pos_embed has {position.shape[1]} positions, too few for {count} extra tokens and patches")
    if extra:
        tokens = torch.cat([each for _, each in extra], dim=1)
        if with_position > 1:
            tokens = tokens.float() + position[:, 1 : 1 + count].float()
            position = torch.cat((position[:, :1], position[:, 1 + count :]), dim=1)
        for name, _ in extra:
            del converted[name]
        converted["extra_tokens"] = tokens
        kept = "1 token beside [cls] that is" if count == 1 else f"{count} tokens beside [cls] that are"
        notes.append(f"{', '.join(name for name, _ in extra)}: {kept} never dropped")
    if with_position == 0:
        position = torch.cat((torch.zeros_like(position[:, :1]), position), dim=1)
        notes.append("[cls] has no position embedding of its own, so it is 0")
    converted["pos_embed"] = position
    if "fc_norm.weight" in tensors and "norm.weight" not in tensors:
        converted |= {f"norm.{part}": converted.pop(f"fc_norm.{part}") for part in ("weight", "bias")}
        notes.append(
            "the model was trained with the mean of the patches as its feature; here, [cls] is the feature, after the "
            "norm of that mean (fc_norm)"
        )
    return Converted(converted, tuple(notes))


def _tokens_with_position(tensors: Tensors, extra: int) -> int:
    """Return the number of tokens other than patches that have a position: 0, 1 (`[cls]`) or all.

    Args:
        tensors: Tensors with timm's names.
        extra: Number of extra tokens.
    """
    if "dist_token" in tensors:
        return 1 + extra
    if not extra and not has_layer_scale(tensors):
        return 1
    position, patch_size = tensors["pos_embed"], _patch_size(tensors)
    count = position.shape[1] if position.ndim == 3 else 0
    return next((each for each in (1 + extra, 1, 0) if _is_grid(count - each, patch_size)), 1)


def _patch_size(tensors: Tensors) -> int:
    """Return the patch size in pixels, or 0 if the file has no patch embedding of the usual shape."""
    weight = tensors.get("patch_embed.proj.weight")
    return 0 if weight is None or weight.ndim != 4 else weight.shape[-1]


def _is_grid(positions: int, patch_size: int) -> bool:
    side = math.isqrt(max(positions, 0))
    if side * side == positions and side >= _MIN_SIDE:
        return True
    grids = (grid_size(size, patch_size, patch_size) for size in IMAGE_SIZES if 0 < patch_size <= min(size))
    return any(rows * columns == positions for rows, columns in grids)


def has_layer_scale(tensors: Tensors) -> bool:
    """Return whether the blocks have layer scale, which multiplies the outputs of attention and MLP by factors."""
    return "blocks.0.ls1.gamma" in tensors or "blocks.0.gamma_1" in tensors


def _is_dinov2(tensors: Tensors) -> bool:
    if not (is_plain_vit(tensors) and has_layer_scale(tensors)):
        return False
    has_token = any(name in tensors for name in ("mask_token", *_REGISTERS))
    return has_token or _patch_size(tensors) == _DINOV2_PATCH


def _is_deit3(tensors: Tensors) -> bool:
    return is_plain_vit(tensors) and has_layer_scale(tensors) and _tokens_with_position(tensors, 0) == 0


def imagenet_settings(_: Tensors) -> Settings:
    """Return the settings of models that were trained with ImageNet's mean and standard deviation."""
    return Settings(IMAGENET, assumed=("pixels normalised with the mean and standard deviation of ImageNet",))


def _half_settings(_: Tensors) -> Settings:
    text = "pixels normalised with mean 0.5 and standard deviation 0.5 (backbones of DeiT, DINO and MAE use ImageNet's)"
    return Settings(assumed=(text,))


plain_family = partial(
    Family,
    convert=convert_plain,
    configure=imagenet_settings,
    is_plain=True,
    size=ANY_SIZE,
    untrained="`bottleneck`, `rec_bottleneck`, both classifiers",
)
TIMM = plain_family(
    "plain ViT",
    "`blocks.*` and `pos_embed`, as in timm and in backbones of DeiT, DINO and MAE without their heads",
    detect=is_plain_vit,
    configure=_half_settings,
)
DEIT = plain_family(
    "DeiT with distillation token",
    "`dist_token` beside the names of a plain ViT",
    detect=lambda tensors: is_plain_vit(tensors) and "dist_token" in tensors,
)
DEIT3 = plain_family(
    "DeiT-III", "layer scale (`gamma_1` or `ls1.gamma`) and no position embedding for `[cls]`", detect=_is_deit3
)
DINOV2 = plain_family(
    "DINOv2",
    "layer scale, and registers, `mask_token` or patches of 14 pixels",
    detect=_is_dinov2,
    ignored="mask_token",
)
DINO = plain_family(
    "DINO",
    "`head.last_layer.*` or `head.mlp.*` beside a plain ViT; of student and teacher, the teacher is used",
    detect=lambda tensors: is_plain_vit(tensors) and any(map(_DINO_HEAD.search, tensors)),
)
MAE = plain_family(
    "MAE",
    "`decoder_embed.*` or `mask_token` beside a plain ViT",
    detect=lambda tensors: is_plain_vit(tensors) and ("decoder_embed.weight" in tensors or "mask_token" in tensors),
    ignored=r"mask_token|decoder_.*",
)


def as_plain(tensors: dict[str, Tensor], notes: tuple[str, ...]) -> Converted:
    """Convert tensors that another adapter has renamed.

    Args:
        tensors: Tensors with timm's names.
        notes: Sentences of the other adapter, which come first in the result.
    """
    converted = convert_plain(tensors)
    return Converted(converted.tensors, (*notes, *converted.notes))
