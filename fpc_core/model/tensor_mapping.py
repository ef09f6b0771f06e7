"""Map the tensors of a checkpoint to those of an FPC, and infer the architecture from their shapes.

Both use the tensor names that the adapters of all families share (`families.Converted`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor

from fpc_core.config import ModelConfig, Stem, VitOptions
from fpc_core.model.families import FAMILIES, Settings, Source
from fpc_core.model.positions import Placement, Size, format_size, place


@dataclass(frozen=True)
class TensorMapping:
    """Mapping from the tensors of an FPC to the tensors of a file.

    Attributes:
        names: Name of the tensor in the file for each tensor name of the FPC.
        copied: FPC names whose tensor in the file is also assigned to another name.
        ignored: Pattern for the full names of tensors that the file may contain but that are not used.
    """

    names: Mapping[str, str]
    copied: frozenset[str] = field(default_factory=frozenset)
    ignored: str = r"(?!)"


@dataclass(frozen=True)
class Inferred:
    """Architecture of a checkpoint without a config.

    Attributes:
        config: Architecture of the model.
        placement: Image size, stride and position grid.
        assumed: Sentences on assumptions that the file does not confirm, besides those of its family.
    """

    config: ModelConfig
    placement: Placement
    assumed: tuple[str, ...]


_DEPTH_AND_HEADS = {192: (12, 3), 384: (12, 6), 768: (12, 12), 1024: (24, 16)}  # Depth and heads of each ViT width.
_EMBEDDINGS = {
    "encoder.cls_token": "cls_token",
    "encoder.position": "pos_embed",
    "encoder.camera": "sie_embed",
    "encoder.extra": "extra_tokens",
    "encoder.patch_embed.weight": "patch_embed.proj.weight",
    "encoder.patch_embed.bias": "patch_embed.proj.bias",
}
_LAYERS = {"encoder.norm_pre.": "norm_pre.", "encoder.stem.": "patch_embed.conv."}
_HEADS = ("bottleneck.", "rec_bottleneck.", "classifier.", "rec_classifier.")
_IMAGENET = r"(head|head_dist|fc|pre_logits)\..*|dist_token"


def mapping_of(source: Source, config: ModelConfig, expected: Iterable[str], present: Collection[str]) -> TensorMapping:
    """Build the mapping from the tensors of an FPC to those of a file.

    Args:
        source: Format of the file.
        config: Architecture of the model.
        expected: Tensor names of an FPC with this config. Names that the format never contains get no entry.
        present: Tensor names in the file, which determine its optional parts.
    """
    if source is Source.OWN:
        return TensorMapping({name: name for name in expected})
    family = FAMILIES[source]
    base = family.base
    has_head = any(name.startswith("b1.") for name in present)
    last = "b1.0." if has_head or source is Source.RELEASED else f"{base}blocks.{config.depth - 1}."
    norm = "b1.1." if has_head or source is Source.RELEASED else f"{base}norm."
    decoder = ("rec_b.0.", "rec_b.1.") if source is Source.RELEASED else (last, norm)
    prefixes = {f"encoder.blocks.{i}.": f"{base}blocks.{i}." for i in range(config.token_blocks)}
    for i in range(config.token_blocks, config.depth):
        prefixes[f"head.blocks.{i - config.token_blocks}."] = last if i == config.depth - 1 else f"{base}blocks.{i}."
    prefixes |= {"head.norm.": norm, "decoder.block.": decoder[0], "decoder.norm.": decoder[1]}
    prefixes |= {ours: base + theirs for ours, theirs in _LAYERS.items()}
    heads = () if family.heads_optional and not any(name.startswith(family.heads) for name in present) else family.heads

    names: dict[str, str] = {}
    for name in expected:
        prefix = next((prefix for prefix in prefixes if name.startswith(prefix)), None)
        if prefix is not None:
            names[name] = prefixes[prefix] + name.removeprefix(prefix)
        elif name != "encoder.camera" or base + "sie_embed" in present:
            names[name] = base + _EMBEDDINGS[name] if name in _EMBEDDINGS else name
    absent = tuple(head for head in _HEADS if head not in heads)
    names = {name: key for name, key in names.items() if not name.startswith(absent)}
    ignored = rf"{re.escape(base)}({_IMAGENET})|{family.ignored}"
    if last == "b1.0.":
        ignored += rf"|{re.escape(base)}(norm|blocks\.{config.depth - 1})\..*"
    copied = frozenset() if source is Source.RELEASED else frozenset(n for n in names if n.startswith("decoder."))
    return TensorMapping(names, copied, ignored)


def infer_config(
    source: Source,
    tensors: Mapping[str, Tensor],
    settings: Settings,
    image_size: Size | None = None,
    stride: int | None = None,
    heads: int | None = None,
) -> Inferred:
    """Infer the architecture from tensor shapes, for a checkpoint without a config.

    Image size and stride follow from the number of positions (see `positions.place`), and heads from the width.

    Args:
        source: Format of the file.
        tensors: Tensors of the file under the common names.
        settings: Settings that the family determines.
        image_size: Height and width of the input in pixels, if the user stated them.
        stride: Stride of the patches in pixels, if the user stated it.
        heads: Number of attention heads, if the user stated it.

    Raises:
        ValueError: The shapes are ambiguous; the message names the options that resolve this.
        KeyError: A required tensor is missing.
    """
    family = FAMILIES[source]
    base = family.base
    width = tensors[base + "cls_token"].shape[-1]
    default_depth, default_heads = _DEPTH_AND_HEADS.get(width, (0, 0))
    if not (heads or default_heads):
        raise ValueError(
            f"the width must be one of {sorted(_DEPTH_AND_HEADS)} to infer the heads, got {width}; pass the config, "
            "or state the number of heads with --heads"
        )
    numbers = {
        int(match[1]) for name in tensors if (match := re.match(rf"{re.escape(base)}blocks\.(\d{{1,4}})\.", name))
    }
    depth = max(numbers) + 1
    if depth == default_depth - 1 and any(name.startswith("b1.") for name in tensors):
        depth = default_depth  # `b1` replaces the last block, which the file then need not contain.
    vit = vit_options(source, tensors, settings)
    patch_size = tensors[base + "patch_embed.proj.weight"].shape[-1] * (1 if vit.stem is Stem.NONE else 2)
    positions = tensors[base + "pos_embed"].shape[1] - 1
    placement = place(positions, patch_size, image_size, stride, is_plain=family.is_plain)
    cameras = tensors.get(base + "sie_embed")
    classifier = tensors.get("classifier.weight", tensors.get("rec_classifier.weight"))
    config = ModelConfig(
        image_size=placement.image_size,
        patch_size=patch_size,
        stride=placement.stride,
        width=width,
        depth=depth,
        heads=heads or default_heads,
        mlp_ratio=tensors[base + "blocks.0.mlp.fc1.weight"].shape[0] / width,
        token_blocks=max(1, depth - 1),
        cameras=0 if cameras is None else cameras.shape[0],
        identities=ModelConfig.identities if classifier is None else classifier.shape[0],
        vit=vit,
        **settings.fields,
    )
    assumed = []
    if placement.assumed:
        assumed.append(
            f"image size {format_size(placement.image_size)} and stride {placement.stride} ({placement.assumed}, "
            f"{positions})"
        )
    if not heads:
        assumed.append(f"{default_heads} heads (the usual number for width {width}); --heads sets another number")
    return Inferred(config, placement, tuple(assumed))


def vit_options(source: Source, tensors: Mapping[str, Tensor], settings: Settings) -> VitOptions:
    """Return how the Vision Transformer of a file differs from that of TransReID.

    Args:
        source: Format of the file.
        tensors: Tensors of the file under the common names.
        settings: Settings that the family determines.
    """
    extra = tensors.get(f"{FAMILIES[source].base}extra_tokens")
    return replace(settings.vit, extra_tokens=0 if extra is None else extra.shape[1])


def count_by_group(names: Iterable[str]) -> str:
    """Count names by module, with ranges of blocks, such as "blocks.3-11: 108 keys, b1.1: 2 keys"."""
    blocks: dict[str, dict[int, int]] = {}
    counts: dict[str, int] = {}
    for name in names:
        if match := re.match(r"(.*?\bblocks)\.(\d+)\.", name):
            numbers = blocks.setdefault(match[1], {})
            numbers[int(match[2])] = numbers.get(int(match[2]), 0) + 1
            continue
        parts = name.split(".")
        # Nested names begin, for example, with b1.0, rec_b.1 or decoder.block.
        nested = len(parts) > 2 and (parts[1].isdigit() or parts[0] == "decoder")
        group = ".".join(parts[:2]) if nested else name.rpartition(".")[0]
        group = name if group in ("", "base", "encoder") else group
        counts[group] = counts.get(group, 0) + 1
    for prefix, numbers in blocks.items():
        for first, last in _runs(sorted(numbers)):
            span = f"{prefix}.{first}" if first == last else f"{prefix}.{first}-{last}"
            counts[span] = sum(numbers[i] for i in range(first, last + 1))
    return ", ".join(f"{group}: {count} key{'s' * (count > 1)}" for group, count in counts.items())


def brief(text: str, limit: int = 110) -> str:
    """Cut a text, such as a list of names, at its end if it is too long for a message.

    Args:
        text: Text to cut.
        limit: Maximum number of characters.
    """
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _runs(numbers: list[int]) -> list[tuple[int, int]]:
    """Return runs of consecutive numbers as (first, last), such as [(0, 0), (3, 5)] for [0, 3, 4, 5]."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs
