"""Load tiny checkpoints of other model families, and compare their outputs with those of the family's public code."""

import math
from pathlib import Path

import numpy as np
import torch
from timm.models.vision_transformer import Block
from torch import Tensor

from fpc_core.config import PruneSettings
from fpc_core.model.checkpoint import load_checkpoint
from fpc_core.model.fpc import FPC
from fpc_core.model.load_report import LoadReport
from tests.support.family_weights import HEADS

GOLDEN = Path(__file__).parents[1] / "golden" / "families"
SIZE = (64, 32)
ALL, PRUNED = PruneSettings(1.0, blocks=(1,)), PruneSettings(0.8, blocks=(1, 2))


def load(content: object, folder: Path, size: tuple[int, int] = SIZE, stride: int = 16) -> tuple[FPC, LoadReport]:
    torch.save(content, folder / "weights.pth")
    return load_checkpoint(folder / "weights.pth", image_size=size, stride=stride, heads=HEADS)


def expected_values(name: str) -> tuple[Tensor, Tensor]:
    """Return stored outputs of the public code: all tokens before the last block, and the final `[cls]` token."""
    with np.load(GOLDEN / f"{name}.npz") as expected:
        return torch.from_numpy(expected["tokens"]), torch.from_numpy(expected["cls"])


def dropped_by_attention(model: FPC, images: Tensor, cameras: Tensor | None) -> Tensor:
    """Return all tokens at keep rate 0.8, computed with full attention matrices, one image after another."""
    first = model.encoder.first_patch
    images_tokens = list(model.encoder.embed(images, cameras).split(1))
    for index, block in enumerate(model.encoder.blocks):
        images_tokens = [_after_block(block, tokens, first, index in PRUNED.blocks) for tokens in images_tokens]
    return torch.cat(images_tokens)


def _after_block(block: Block, tokens: Tensor, first: int, drops: bool) -> Tensor:
    attn = block.attn
    query, key, value = attn.qkv(block.norm1(tokens)).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
    matrix = (query @ key.transpose(2, 3) / query.shape[3] ** 0.5).softmax(dim=3)
    tokens = tokens + attn.proj((matrix @ value).transpose(1, 2).flatten(2))
    if drops:
        to_patches = matrix[0, :, 0, first:].mean(dim=0)
        kept = to_patches.argsort(descending=True, stable=True)[: math.ceil(PRUNED.keep_rate * len(to_patches))]
        tokens = torch.cat((tokens[:, :first], tokens[:, first + kept]), dim=1)
    return tokens + block.mlp(block.norm2(tokens))


def assert_parity(model: FPC, images: Tensor, tokens: Tensor, cls: Tensor, cameras: Tensor | None = None) -> None:
    """Check a model against expected outputs, within 1e-4.

    Pruned tokens are compared with `dropped_by_attention`, which uses the model's own blocks.

    Args:
        model: Model to check.
        images: (B, 3, H, W) normalised images.
        tokens: Expected tokens of the encoder without pruning.
        cls: Expected `[cls]` token of the head.
        cameras: (B,) cameras, or None.
    """
    with torch.inference_mode():
        pruned = model.encode(images, cameras, PRUNED)
        torch.testing.assert_close(pruned.tokens, dropped_by_attention(model, images, cameras), atol=1e-4, rtol=0)
        encoding = model.encode(images, cameras, ALL)
        torch.testing.assert_close(encoding.tokens, tokens, atol=1e-4, rtol=0)
        torch.testing.assert_close(model.global_token(encoding.tokens), cls, atol=1e-4, rtol=0)
    assert encoding.patches.shape[1] == model.config.patches


def with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: each for name, each in tensors.items()}
