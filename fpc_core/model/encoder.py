"""Sparse encoder S (Sec. 3.1): a Vision Transformer that drops patch tokens on its way.

In a dropping block the tokens leave after the attention residual and before the MLP, as in the released code.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from fpc_core.config import DropStrategy, ModelConfig, Precision, PruneSettings
from fpc_core.results import DropStage, EncoderState, Encoding

LAYER_NORM_EPS = 1e-6  # of ViT and TransReID; torch's default is 1e-5


def transformer_block(config: ModelConfig, drop_path: float = 0.0) -> Block:
    """One pre-norm block of timm, as ViT, TransReID and FPC use it; its layer norms have LAYER_NORM_EPS."""
    return Block(config.width, config.heads, config.mlp_ratio, qkv_bias=True, drop_path=drop_path)


class SparseEncoder(nn.Module):
    """Patch embedding, position and camera embeddings (Eq. 1), and the first `config.token_blocks` blocks.

    drop_path: stochastic depth of the last of all `config.depth` blocks, growing linearly from 0 at the first; acts in
    training mode only.
    precision: of the matrix products; set it before anything is encoded. Tokens and attention are float32 at any.
    """

    def __init__(self, config: ModelConfig, drop_path: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.precision = Precision.FLOAT32
        self.patch_embed = nn.Conv2d(3, config.width, config.patch_size, config.stride)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.position = nn.Parameter(torch.zeros(1, 1 + config.patches, config.width))
        self.camera = nn.Parameter(torch.zeros(config.cameras, 1, config.width))
        step = drop_path / max(config.depth - 1, 1)
        self.blocks = nn.ModuleList(transformer_block(config, step * i) for i in range(config.token_blocks))
        for embedding in (self.cls_token, self.position, self.camera):
            nn.init.trunc_normal_(embedding, std=0.02)

    def forward(self, images: Tensor, cameras: Tensor | None, prune: PruneSettings) -> Encoding:
        """(B, 3, H, W) normalised images, (B,) int64 cameras or None -> Encoding; see `prefix` and `finish`."""
        return self.finish(self.prefix(images, cameras, prune.blocks[0]), prune)

    def prefix(self, images: Tensor, cameras: Tensor | None = None, block: int = 3) -> EncoderState:
        """Everything that does not depend on the keep rate: up to the attention of dropping block `block`.

        images: (B, 3, H, W) normalised, H x W = config.image_size. cameras: (B,) int64, or None for the mean of the
        camera embeddings (an upload has no camera). Raises ValueError for a wrong shape, camera or block.
        """
        self._check_block(block)
        with self.casting(images.device):
            tokens = self.embed(images, cameras)
            for before in self.blocks[:block]:
                tokens = before(tokens)
            tokens, attention = _attend(self.blocks[block], tokens)
        return EncoderState(tokens, attention, block)

    def finish(self, state: EncoderState, prune: PruneSettings, until: int | None = None) -> Encoding:
        """Drop at `state.block` and at the later dropping blocks, run what is left.

        until: the block to stop before, by default none; its tokens are then what enters that block.
        Raises ValueError if the state was made for another first dropping block, or for `until` a dropping block or one
        before it.
        """
        if state.block != prune.blocks[0]:
            raise ValueError(
                f"the state stands before the drop of block {state.block}, the settings drop first at block "
                f"{prune.blocks[0]}; make the state with prefix(images, cameras, block={prune.blocks[0]})"
            )
        self._check_block(prune.blocks[-1])
        until = len(self.blocks) if until is None else until
        if not prune.blocks[-1] < until <= len(self.blocks):
            possible = f"{prune.blocks[-1] + 1}..{len(self.blocks)}"
            raise ValueError(f"until must lie in {possible}, after the last dropping block, not {until}")
        tokens, attention = state.tokens, state.attention
        positions = torch.arange(attention.shape[1], device=tokens.device).expand_as(attention)
        stages: list[DropStage] = []
        ends = (*prune.blocks[1:], until)
        with self.casting(tokens.device):
            for block, end in pairwise((state.block, *ends)):
                if stages:
                    tokens, attention = _attend(self.blocks[block], tokens)
                tokens, kept = _drop(tokens, positions, attention, prune, self.config.patches)
                stages.append(DropStage(block, positions, attention, kept))
                positions = kept
                tokens = _mlp(self.blocks[block], tokens)
                for between in self.blocks[block + 1 : end]:
                    tokens = between(tokens)
        return Encoding(tokens, tuple(stages), self.config.grid, prune)

    def embed(self, images: Tensor, cameras: Tensor | None) -> Tensor:
        """Eq. 1: (B, 3, H, W) -> (B, 1 + N, C), `[cls]` first. A model without cameras ignores `cameras`."""
        if images.ndim != 4 or images.shape[1:] != (3, *self.config.image_size):
            height, width = self.config.image_size
            raise ValueError(f"images must be (B, 3, {height}, {width}), not {tuple(images.shape)}; resize them first")
        patches = _patch_rows(self.patch_embed, images)
        tokens = torch.cat((self.cls_token.expand(len(images), -1, -1), patches), dim=1) + self.position
        if not self.config.cameras:
            return tokens
        return tokens + self.config.camera_factor * self._camera(cameras, len(images))

    def casting(self, device: torch.device) -> AbstractContextManager[object]:
        """Within, matrix products are computed in `precision`. At float32 a caller's own autocast stays as it is."""
        if self.precision is Precision.FLOAT32:
            return nullcontext()
        return torch.autocast(device.type, getattr(torch, self.precision.value))

    def _camera(self, cameras: Tensor | None, images: int) -> Tensor:
        """(B, 1, C), or (1, 1, C) without cameras."""
        if cameras is None:
            return self.camera.mean(dim=0, keepdim=True)
        if cameras.shape != (images,):
            raise ValueError(f"{images} images need cameras of shape ({images},), not {tuple(cameras.shape)}")
        least, most = torch.stack(cameras.aminmax()).cpu().tolist() if images else (0, 0)
        if not 0 <= least <= most < self.config.cameras:
            raise ValueError(
                f"cameras must lie in 0..{self.config.cameras - 1}, not {least}..{most}; pass None where the camera is "
                "unknown to the model"
            )
        return self.camera[cameras]

    def _check_block(self, block: int) -> None:
        if not 0 <= block < len(self.blocks):
            raise ValueError(
                f"dropping block {block} does not exist: this encoder has the blocks 0..{len(self.blocks) - 1} "
                "(ModelConfig.token_blocks); choose PruneSettings.blocks among them"
            )


def follow(blocks: Iterable[Any], tokens: Tensor, prune: PruneSettings) -> tuple[DropStage, ...]:
    """Run timm Blocks as `SparseEncoder` and `GlobalHead` do, and note the `[cls]` attention of every one.

    tokens: (B, 1 + N, C) of `SparseEncoder.embed`. Returns one stage per block; in a block that drops nothing `kept`
    is `entered`. To look inside: `finish` forms these rows at the dropping blocks only.
    """
    patches = tokens.shape[1] - 1
    positions = torch.arange(patches, device=tokens.device).expand(len(tokens), -1)
    stages: list[DropStage] = []
    for index, block in enumerate(blocks):
        tokens, attention = _attend(block, tokens)
        entered = positions
        if index in prune.blocks:
            tokens, positions = _drop(tokens, positions, attention, prune, patches)
        stages.append(DropStage(index, entered, attention, positions))
        tokens = _mlp(block, tokens)
    return tuple(stages)


def _patch_rows(embed: nn.Conv2d, images: Tensor) -> Tensor:
    """The patch embedding, row by row: (B, 3, H, W) -> (B, N, C).

    On the CPU by the convolution, which is faster there. Elsewhere as a matrix product: cuDNN computes convolutions of
    float32 in TF32 (11 bits) unless a switch of the whole process forbids it, and matrix products in float32.
    """
    if images.device.type == "cpu":
        return embed(images).flatten(2).transpose(1, 2)
    pixels = F.unfold(images, embed.kernel_size, stride=embed.stride).transpose(1, 2)
    return F.linear(pixels, embed.weight.flatten(1), embed.bias)


def _attend(block: Any, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """The attention half of a timm Block, and what decides the drop.

    tokens: (B, 1 + n, C) -> the same after the attention residual, and (B, n) head-averaged attention of `[cls]` to
    the patches (Eq. 2). Only that row of the attention matrix is formed.
    """
    attn = block.attn
    qkv = attn.qkv(block.norm1(tokens)).unflatten(-1, (3, attn.num_heads, attn.head_dim))
    query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
    tokens = tokens + block.drop_path1(attn.proj(mixed))
    logits = (query[:, :, :1] * attn.scale) @ key.transpose(-2, -1)
    attention = logits.softmax(dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32)).mean(dim=1)[:, 0, 1:]
    return tokens, attention


def _mlp(block: Any, tokens: Tensor) -> Tensor:
    return tokens + block.drop_path2(block.mlp(block.norm2(tokens)))


def _drop(
    tokens: Tensor, positions: Tensor, attention: Tensor, prune: PruneSettings, patches: int
) -> tuple[Tensor, Tensor]:
    """Keep `prune.kept(n)` of n patch tokens, in descending order of their score; equal scores keep their token order.

    tokens: (B, 1 + n, C); positions, attention: (B, n) -> (B, 1 + k, C), (B, k). At keep rate 1 nothing moves.
    """
    if prune.keep_rate == 1.0:
        return tokens, positions
    score = _score(positions, attention, prune, patches)
    order = score.argsort(dim=1, descending=True, stable=True)[:, : prune.kept(attention.shape[1])]
    survivors = tokens[:, 1:].gather(1, order.unsqueeze(-1).expand(-1, -1, tokens.shape[2]))
    return torch.cat((tokens[:, :1], survivors), dim=1), positions.gather(1, order)


def _score(positions: Tensor, attention: Tensor, prune: PruneSettings, patches: int) -> Tensor:
    """(B, n): the highest stay (Table 5).

    The random score belongs to the grid position and comes from a CPU generator: a seed means the same positions on
    every device, for every image and in every batch, and the k best of the k' best are a fresh uniform choice.
    """
    if prune.strategy is DropStrategy.NON_SALIENT:
        return attention
    if prune.strategy is DropStrategy.SALIENT:
        return -attention
    drawn = torch.rand(patches, generator=torch.Generator().manual_seed(prune.seed))
    return drawn.to(positions.device)[positions]
