"""Random TransReID weights with the tensor names of its checkpoints, and variants that users may have."""

import torch
from torch import Tensor

WIDTH, BLOCKS, HIDDEN = 192, 12, 64


def transreid_weights(positions: int = 128, cameras: int = 6, identities: int = 20) -> dict[str, Tensor]:
    """Return weights without a jigsaw branch, with the width of ViT-Tiny but small MLPs, so that files are small."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) * 0.02

    weights = {
        "base.cls_token": draw(1, 1, WIDTH),
        "base.pos_embed": draw(1, positions + 1, WIDTH),
        "base.sie_embed": draw(cameras, 1, WIDTH),
        "base.patch_embed.proj.weight": draw(WIDTH, 3, 16, 16),
        "base.patch_embed.proj.bias": draw(WIDTH),
        "base.norm.weight": torch.ones(WIDTH),
        "base.norm.bias": torch.zeros(WIDTH),
        "classifier.weight": draw(identities, WIDTH),
    }
    for number in range(BLOCKS):
        block = f"base.blocks.{number}."
        for norm in ("norm1", "norm2"):
            weights |= {f"{block}{norm}.weight": torch.ones(WIDTH), f"{block}{norm}.bias": torch.zeros(WIDTH)}
        for layer, out, inside in (
            ("attn.qkv", 3 * WIDTH, WIDTH),
            ("attn.proj", WIDTH, WIDTH),
            ("mlp.fc1", HIDDEN, WIDTH),
            ("mlp.fc2", WIDTH, HIDDEN),
        ):
            weights |= {f"{block}{layer}.weight": draw(out, inside), f"{block}{layer}.bias": draw(out)}
    return weights | {f"bottleneck.{name}": each for name, each in torch.nn.BatchNorm1d(WIDTH).state_dict().items()}


def plain_weights(positions: int = 128) -> dict[str, Tensor]:
    """Return the Vision Transformer of `transreid_weights` with timm's tensor names."""
    weights = transreid_weights(positions)
    return {
        name.removeprefix("base."): each
        for name, each in weights.items()
        if name.startswith("base.") and "sie_embed" not in name
    }


def conv_stem_weights() -> dict[str, Tensor]:
    """Return weights whose patch embedding is a stem of three convolutions, as in TransReID-SSL."""
    weights = {name: each for name, each in transreid_weights().items() if "patch_embed" not in name}
    for number, (inside, kernel) in enumerate(((3, 7), (64, 3), (64, 3))):
        weights[f"base.patch_embed.conv.{3 * number}.weight"] = torch.zeros(64, inside, kernel, kernel)
    return weights | {
        "base.patch_embed.proj.weight": torch.zeros(WIDTH, 64, 8, 8),
        "base.patch_embed.proj.bias": torch.zeros(WIDTH),
    }
