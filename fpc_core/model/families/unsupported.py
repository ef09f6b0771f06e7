"""List networks that FPC cannot use, with the tensor names by which they are recognised."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

NEEDS_CLS = "FPC drops patches by the attention of one [cls] token, and needs the same patches in every block"
_NEEDS_BLOCKS = "its blocks differ from those of a ViT, so results would be wrong"


@dataclass(frozen=True)
class Unsupported:
    """A network that is refused.

    Attributes:
        title: Name of the network, as in "contains {title}".
        pattern: Pattern that is found in at least one of its tensor names.
        reason: Reason why it is not supported, as a clause.
        is_vit: Whether its other tensor names are those of a supported family.
    """

    title: str
    pattern: re.Pattern[str]
    reason: str = NEEDS_CLS
    is_vit: bool = False


def _vit(title: str, pattern: str) -> Unsupported:
    return Unsupported(title, re.compile(pattern), _NEEDS_BLOCKS, is_vit=True)


def _other(title: str, pattern: str) -> Unsupported:
    return Unsupported(title, re.compile(rf"(^|\.){pattern}"))


# Messages name the first network that fits.
UNSUPPORTED = (
    _vit("a ViT with SwiGLU MLPs (as in DINOv2 giant and EVA-02)", r"(^|\.)mlp\.(w12|w1|fc1_g|weights_in)\."),
    _vit("a DINOv3 (rotary positions)", r"(^|\.)(rope_embed\.|storage_tokens$)"),
    _other("a Swin Transformer", r"(layers|stages)\.\d+\.blocks\.\d+\..*(relative_position|relative_coords|cpb_mlp)"),
    _vit("a BEiT (relative positions)", r"(^|\.)relative_position_bias_table$"),
    _other("a Pyramid Vision Transformer", r"block[1-4]\.\d+\.attn\.sr\."),
    _other("a ResNet (a CNN)", r"layer[1-4]\.\d+\.(conv|bn)\d\."),
    _other("an OSNet (a CNN)", r"conv[2-5]\.\d+\.(conv2[a-d]|gate)\."),
    _other("a ConvNeXt (a CNN)", r"stages\.\d+\.(blocks\.|layers\.)?\d+\.(dwconv|conv_dw)\."),
    _other("an EfficientNet or MobileNet (a CNN)", r"blocks\.\d+\.\d+\.(conv_dw|conv_pw|conv_pwl)\."),
    _other("a VGG, DenseNet, EfficientNet or MobileNet of torchvision (a CNN)", r"features\.[\w.]+\.(weight|bias)$"),
)


def find_unsupported(names: Iterable[str], *, is_vit: bool) -> str | None:
    """Return the end of a message that names the unsupported network in a file, or None if there is none.

    Args:
        names: Tensor names of the file.
        is_vit: Whether the file was recognised as a supported family.
    """
    names = tuple(names)
    for each in UNSUPPORTED:
        if (each.is_vit or not is_vit) and any(map(each.pattern.search, names)):
            return (
                f"contains {each.title}, which is not supported: {each.reason}; use weights of a plain ViT, such as "
                "those listed in docs/checkpoints.md"
            )
    return None
