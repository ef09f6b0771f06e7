"""Define the adapters for families of checkpoints, which recognise, convert and configure files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from torch import Tensor

from fpc_core.config import VitOptions

Tensors = Mapping[str, Tensor]
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}  # Normalisation of most ImageNet models.
FROM_POSITIONS = "from the number of position embeddings; `--image-size` and `--stride` where several sizes fit"
ANY_SIZE = (
    "any: position embeddings are resized to `--image-size` and `--stride`, by default 256x128 (in whole patches) and "
    "the patch size"
)


class Source(StrEnum):
    """Format of a checkpoint, named after the code that wrote it."""

    OWN = "own"  # Safetensors written by `save_checkpoint`.
    RELEASED = "released"  # The released code of the FPC authors.
    TRANSREID = "transreid"
    TRANSREID_SSL = "transreid_ssl"
    PASS = "pass"
    TIMM = "timm"
    DEIT = "deit"
    DEIT3 = "deit3"
    DINO = "dino"
    DINOV2 = "dinov2"
    MAE = "mae"
    CLIP_REID = "clip_reid"
    HUGGING_FACE = "hugging_face"


@dataclass(frozen=True)
class Converted:
    """Tensors of a file under the names that all adapters share.

    These are timm's names, such as "blocks.0.attn.qkv.weight", after the prefix `Family.base`. Optional tensors are
    "sie_embed", (cameras, 1, C); "extra_tokens", (1, E, C), with their positions added; "norm_pre.*"; and, for a stem,
    "patch_embed.conv.*". "pos_embed" is (1, 1 + N, C), for `[cls]` and the patches.

    Attributes:
        tensors: Tensors by name. Those that the adapter does not use keep the names of the file.
        notes: Sentences on what was converted.
    """

    tensors: dict[str, Tensor]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settings:
    """Settings of a model that cannot be inferred from shapes and are determined by its family.

    Attributes:
        fields: Fields of `ModelConfig` other than `vit` that differ from its defaults, such as the mean of the pixels.
        vit: How the Vision Transformer differs from that of TransReID. `extra_tokens` is set from the tensors.
        assumed: Sentences on assumptions that the file does not confirm.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    vit: VitOptions = field(default_factory=VitOptions)
    assumed: tuple[str, ...] = ()


def unchanged(tensors: Tensors) -> Converted:
    """Wrap tensors that already have the names of `Converted`."""
    return Converted(dict(tensors))


def default_settings(_: Tensors) -> Settings:
    """Return the settings of TransReID."""
    return Settings()


@dataclass(frozen=True)
class Family:
    """Adapter of a family of checkpoints; the docs list all of them (`python -m docs.make_checkpoints`).

    Attributes:
        title: Name of the family for users.
        recognised_by: Tensor names that distinguish its files, for users.
        detect: Returns whether a file belongs to the family, from its tensors by name without prefixes.
        convert: Returns the tensors under the common names; raises ValueError for tensors that do not match each other.
        configure: Returns the settings that the family determines, from the tensors of the file.
        base: Prefix of the encoder in `Converted`: "base." or none.
        heads: Prefixes of the heads that the family has.
        heads_optional: Whether the heads may be absent, as in weights of pre-training.
        is_plain: Whether position embeddings are resized to any size and stride.
        ignored: Pattern for the full names of tensors that are not used, besides classifiers of ImageNet.
        size: How image size and stride are found, for users.
        copied: Parts of the model that are copied from other tensors, for users.
        untrained: Parts of the model that the family does not have, for users.
    """

    title: str
    recognised_by: str
    detect: Callable[[Tensors], bool]
    convert: Callable[[Tensors], Converted] = unchanged
    configure: Callable[[Tensors], Settings] = default_settings
    base: str = ""
    heads: tuple[str, ...] = ()
    heads_optional: bool = False
    is_plain: bool = False
    ignored: str = r"(?!)"
    size: str = FROM_POSITIONS
    copied: str = "decoder"
    untrained: str = "`rec_bottleneck`, `rec_classifier`"


def check_dimensions(tensors: Tensors, dimensions: Mapping[str, int]) -> None:
    """Check the number of dimensions of the tensors that are in a file.

    Args:
        tensors: Tensors of the file by name.
        dimensions: Expected number of dimensions by name.

    Raises:
        ValueError: A tensor has another number of dimensions; the message names it.
    """
    for name, expected in dimensions.items():
        if name in tensors and tensors[name].ndim != expected:
            raise ValueError(
                f"{name} must have {expected} dimensions, got {tuple(tensors[name].shape)}; use the original file"
            )


def starts_with(tensors: Tensors, prefix: str | tuple[str, ...]) -> bool:
    """Return whether any tensor name begins with a prefix.

    Args:
        tensors: Tensors by name.
        prefix: Prefix, or several alternatives.
    """
    return any(name.startswith(prefix) for name in tensors)
