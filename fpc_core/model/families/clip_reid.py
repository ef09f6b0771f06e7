"""Adapter of the image encoder of CLIP-ReID: a Vision Transformer of CLIP with camera embeddings."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

from fpc_core.config import Activation, VitOptions
from fpc_core.model.families.family import Converted, Family, Settings, Tensors, check_dimensions, starts_with
from fpc_core.model.families.reid import HEADS

_BLOCK = re.compile(r"image_encoder\.transformer\.resblocks\.(\d+)\.(.+)")
_LAYERS = {
    "attn.in_proj_weight": "attn.qkv.weight",
    "attn.in_proj_bias": "attn.qkv.bias",
    **{
        f"{theirs}.{part}": f"{ours}.{part}"
        for theirs, ours in (
            ("attn.out_proj", "attn.proj"),
            ("ln_1", "norm1"),
            ("ln_2", "norm2"),
            ("mlp.c_fc", "mlp.fc1"),
            ("mlp.c_proj", "mlp.fc2"),
        )
        for part in ("weight", "bias")
    },
}
_NAMES = {
    "image_encoder.class_embedding": "base.cls_token",
    "image_encoder.positional_embedding": "base.pos_embed",
    "image_encoder.conv1.weight": "base.patch_embed.proj.weight",
    "image_encoder.ln_pre.weight": "base.norm_pre.weight",
    "image_encoder.ln_pre.bias": "base.norm_pre.bias",
    "image_encoder.ln_post.weight": "base.norm.weight",
    "image_encoder.ln_post.bias": "base.norm.bias",
    "cv_embed": "base.sie_embed",
}
# Indices that add the dimensions of size 1 that embeddings have in TransReID.
_AS_IN_TRANSREID: Mapping[str, tuple[slice | None, ...]] = {
    "base.cls_token": (None, None),
    "base.pos_embed": (None,),
    "base.sie_embed": (slice(None), None),
}
_CAMERA_FACTOR = 1.0  # SIE_COE in the published commands; that of TransReID is 3.


def _convert(tensors: Tensors) -> Converted:
    """Rename tensors, and add the dimensions of size 1 that embeddings have in TransReID.

    Raises:
        ValueError: An embedding has another number of dimensions.
    """
    check_dimensions(tensors, {"image_encoder.class_embedding": 1, "image_encoder.positional_embedding": 2})
    check_dimensions(tensors, {"image_encoder.conv1.weight": 4, "cv_embed": 2})
    converted = {_common_name(name): tensor for name, tensor in tensors.items()}
    converted |= {name: converted[name][index] for name, index in _AS_IN_TRANSREID.items() if name in converted}
    if "base.patch_embed.proj.weight" in converted:
        converted["base.patch_embed.proj.bias"] = torch.zeros(len(converted["base.patch_embed.proj.weight"]))
    return Converted(converted, ("the patch embedding has no bias, so it is 0",))


def _common_name(name: str) -> str:
    match = _BLOCK.fullmatch(name)
    if match is not None and match[2] in _LAYERS:
        return f"base.blocks.{match[1]}.{_LAYERS[match[2]]}"
    return _NAMES.get(name, name)


def _configure(tensors: Tensors) -> Settings:
    vit = VitOptions(activation=Activation.QUICK_GELU, norm_eps=1e-5, norm_before_blocks=True, camera_on_cls=True)
    assumed = ["the feature is the [cls] token after ln_post; its projection to the space of texts is not used"]
    if "cv_embed" in tensors:
        assumed.append(f"cv_embed has cameras, not viewpoints, and is multiplied by {_CAMERA_FACTOR:g} (SIE_COE)")
    return Settings({"camera_factor": _CAMERA_FACTOR}, vit, tuple(assumed))


CLIP_REID = Family(
    "CLIP-ReID",
    "`image_encoder.transformer.resblocks.*`, with or without the text encoder",
    detect=lambda tensors: starts_with(tensors, "image_encoder.transformer.resblocks."),
    convert=_convert,
    configure=_configure,
    base="base.",
    heads=HEADS,
    heads_optional=True,
    ignored=r"image_encoder\.proj|(bottleneck|classifier)_proj\..*|(text_encoder|prompt_learner)\..*",
)
