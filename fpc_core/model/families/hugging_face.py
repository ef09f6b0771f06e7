"""Adapter of Vision Transformers with the tensor names of Hugging Face's transformers (ViT, DeiT, MAE, DINOv2)."""

from __future__ import annotations

import re
from dataclasses import replace

import torch
from torch import Tensor

from fpc_core.config import VitOptions
from fpc_core.model.families.family import IMAGENET, Converted, Settings, Tensors, starts_with
from fpc_core.model.families.plain import as_plain, plain_family

_NAMES = {
    "embeddings.cls_token": "cls_token",
    "embeddings.distillation_token": "dist_token",
    "embeddings.register_tokens": "register_tokens",
    "embeddings.mask_token": "mask_token",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.patch_embeddings.projection.weight": "patch_embed.proj.weight",
    "embeddings.patch_embeddings.projection.bias": "patch_embed.proj.bias",
    "layernorm.weight": "norm.weight",
    "layernorm.bias": "norm.bias",
}
_LAYERS = {
    "attention.output.dense": "attn.proj",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
}
_SCALES = {"layer_scale1.lambda1": "ls1.gamma", "layer_scale2.lambda1": "ls2.gamma"}
_BLOCK = re.compile(r"encoder\.layer\.(\d+)\.(.+)")
_QKV = re.compile(r"attention\.attention\.(query|key|value)\.(weight|bias)")


def _convert(tensors: Tensors) -> Converted:
    """Rename tensors, and join those of queries, keys and values.

    Raises:
        ValueError: The tensors of queries, keys and values of a block are incomplete or differ in their shapes.
    """
    converted: dict[str, Tensor] = {}
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        match = _BLOCK.fullmatch(name)
        if match is None:
            converted[_NAMES.get(name, name)] = tensor
        elif qkv := _QKV.fullmatch(match[2]):
            parts.setdefault(f"blocks.{match[1]}.attn.qkv.{qkv[2]}", {})[qkv[1]] = tensor
        else:
            layer, _, kind = match[2].rpartition(".")
            inside = _SCALES.get(match[2]) or f"{_LAYERS.get(layer, layer)}.{kind}"
            converted[f"blocks.{match[1]}.{inside}"] = tensor
    for name, part in parts.items():
        shapes = {tuple(each.shape) for each in part.values()}
        if len(part) != 3 or len(shapes) != 1:
            raise ValueError(f"query, key and value of {name} are incomplete or differ in shape; use the original file")
        converted[name] = torch.cat([part[which] for which in ("query", "key", "value")])
    notes = (f"queries, keys and values joined in {len(parts)} tensors",)
    return as_plain(converted, notes)


def _configure(tensors: Tensors) -> Settings:
    is_dinov2 = "encoder.layer.0.norm1.weight" in tensors
    is_imagenet = is_dinov2 or {"embeddings.distillation_token", "decoder.mask_token"} & tensors.keys()
    eps = 1e-6 if is_dinov2 else 1e-12
    normalised = "the mean and standard deviation of ImageNet" if is_imagenet else "mean 0.5 and standard deviation 0.5"
    return Settings(
        IMAGENET if is_imagenet else {},
        replace(VitOptions(), norm_eps=eps),
        (f"pixels normalised with {normalised}, as is usual for these weights (preprocessor_config.json states it)",),
    )


HUGGING_FACE = plain_family(
    "Hugging Face ViT",
    "`embeddings.cls_token` and `encoder.layer.*` of ViT, DeiT, ViTMAE, Dinov2 and Dinov2WithRegisters",
    detect=lambda tensors: "embeddings.cls_token" in tensors and starts_with(tensors, "encoder.layer."),
    convert=_convert,
    configure=_configure,
    ignored=r"mask_token|pooler\..*|decoder\..*|(\w+_)?classifier\..*",
)
