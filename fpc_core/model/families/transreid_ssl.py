"""Adapters of TransReID-SSL, which has a convolutional stem, and of PASS, which is built on it and has part tokens.

Pre-trained weights contain only the encoder, without the prefix "base." and without heads.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from fpc_core.config import Stem, VitOptions
from fpc_core.model.families.family import IMAGENET, Converted, Family, Settings, Tensors, check_dimensions
from fpc_core.model.families.reid import HEADS

_BASE = "base."
_STEM = "patch_embed.conv.1.IN.weight"  # Weight of the instance normalisation, which other stems do not have.
_NORMS = {".IN.": ".instance.", ".BN.": ".batch."}
_PART = re.compile(r"base\.part_token(\d)")


def _has(tensors: Tensors, name: str) -> bool:
    return name in tensors or _BASE + name in tensors


def _is_pretrained(tensors: Tensors) -> bool:
    return "cls_token" in tensors


def _convert_stem(tensors: Tensors) -> Converted:
    """Rename the norms of the stem, and add the prefix "base." to the names of pre-trained weights."""
    prefix = _BASE if _is_pretrained(tensors) else ""
    converted: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        renamed = prefix + name
        if renamed.startswith(f"{_BASE}patch_embed.conv."):
            for theirs, ours in _NORMS.items():
                renamed = renamed.replace(theirs, ours)
        converted[renamed] = tensor
    return Converted(converted)


def _convert_parts(tensors: Tensors) -> Converted:
    """Join part tokens, add their positions, and keep the part of the BNNeck that belongs to `[cls]`.

    Raises:
        ValueError: A token or position is missing or has another shape.
    """
    converted = _convert_stem(tensors).tensors
    numbers = sorted(int(match[1]) for name in converted if (match := _PART.fullmatch(name)))
    tokens = [f"{_BASE}part_token{number}" for number in numbers]
    positions = [f"{_BASE}part{number}_pos" for number in numbers]
    alone = (*tokens, *positions, f"{_BASE}cls_pos")
    required = (*alone, f"{_BASE}pos_embed")
    if missing := [name for name in required if name not in converted]:
        raise ValueError(f"{missing[0]} is missing; use the original file")
    check_dimensions(converted, dict.fromkeys(required, 3))
    shape = (1, 1, converted[f"{_BASE}pos_embed"].shape[2])
    for name in alone:
        if converted[name].shape != shape:
            raise ValueError(f"{name} must be {shape}, got {tuple(converted[name].shape)}; use the original file")
    with_positions = [
        converted.pop(token).float() + converted.pop(position).float()
        for token, position in zip(tokens, positions, strict=True)
    ]
    converted[f"{_BASE}extra_tokens"] = torch.cat(with_positions, dim=1)
    converted[f"{_BASE}pos_embed"] = torch.cat(
        (converted.pop(f"{_BASE}cls_pos").float(), converted[f"{_BASE}pos_embed"].float()), dim=1
    )
    notes = [f"{len(tokens)} part tokens beside [cls] that are never dropped; the feature is [cls] without them"]
    notes += _keep_cls_half(converted, shape[2])
    return Converted(converted, tuple(notes))


def _keep_cls_half(tensors: dict[str, Tensor], width: int) -> list[str]:
    """Keep only the half of a BNNeck that belongs to `[cls]`; the other half belongs to the mean part token.

    Batch normalisation is computed per channel, so the first half gives the same results without the other half. A
    classifier of both halves cannot be split, so it is renamed and not used.

    Args:
        tensors: Tensors under the common names, which are changed in place.
        width: Number of channels (C).

    Returns:
        Sentences on the changes.
    """
    notes = []
    classifier = tensors.get("classifier.weight")
    if classifier is not None and classifier.ndim == 2 and classifier.shape[1] == 2 * width:
        tensors["parts_classifier.weight"] = tensors.pop("classifier.weight")
        notes.append("the classifier also reads the part tokens, so it is not used")
    necks = [name for name in tensors if name.startswith("bottleneck.") and tensors[name].shape == (2 * width,)]
    for name in necks:
        tensors[name] = tensors[name][:width]
    if necks:
        notes.append("of the BNNeck of [cls] and the mean part token, the half of [cls] is used")
    elif "bottleneck.weight" in tensors and "bottleneck_1.weight" not in tensors:
        notes.append("the BNNeck was trained on the mean of [cls] and the part tokens, and is used for [cls]")
    return notes


def _configure(tensors: Tensors) -> Settings:
    has_stem = _has(tensors, _STEM)
    pixels = "ImageNet's mean and standard deviation" if _is_pretrained(tensors) else "mean and standard deviation 0.5"
    assumed = [f"pixels normalised with {pixels}"]
    if has_stem:
        assumed.append("the feature is [cls] without pooled patches (GEM_POOLING off, as in the published settings)")
    vit = VitOptions(stem=Stem.ICS if has_stem else Stem.NONE)
    return Settings(IMAGENET if _is_pretrained(tensors) else {}, vit, tuple(assumed))


TRANSREID_SSL = Family(
    "TransReID-SSL",
    "the ICS stem `patch_embed.conv.*`, with or without `base.`; without the stem, it is a TransReID or a plain ViT",
    detect=lambda tensors: _has(tensors, _STEM),
    convert=_convert_stem,
    configure=_configure,
    base=_BASE,
    heads=HEADS,
    heads_optional=True,
)
PASS = Family(
    "PASS",
    "`part_token1` to `part_token3`, with or without `base.`",
    detect=lambda tensors: _has(tensors, "part_token1"),
    convert=_convert_parts,
    configure=_configure,
    base=_BASE,
    heads=HEADS,
    heads_optional=True,
    ignored=r"bottleneck_\d\..*|parts_classifier\.weight",
)
