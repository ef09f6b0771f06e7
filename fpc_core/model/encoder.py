"""Sparse encoder S (Sec. 3.1): a Vision Transformer that drops patch tokens in some of its blocks.

A dropping block drops tokens after the attention residual and before the MLP, as in the released code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import LayerNorm, QuickGELU
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from fpc_core.config import STEM_CHANNELS, Activation, DropStrategy, ModelConfig, Precision, PruneSettings, Stem
from fpc_core.model.stem import IcsStem, conv_rows
from fpc_core.results import DropStage, EncoderState, Encoding

_ACTIVATIONS: Mapping[Activation, type[nn.Module]] = {Activation.GELU: nn.GELU, Activation.QUICK_GELU: QuickGELU}


def layer_norm(config: ModelConfig) -> nn.LayerNorm:
    """Build a layer norm over the channels; its epsilon is 1e-6 in ViT and TransReID, not torch's default of 1e-5."""
    return nn.LayerNorm(config.width, eps=config.vit.norm_eps)


def transformer_block(config: ModelConfig, drop_path: float = 0.0) -> Block:
    """Build one pre-norm timm block as in ViT, TransReID, CLIP and FPC.

    Args:
        config: Architecture of the model.
        drop_path: Stochastic depth rate, in [0, 1].
    """
    return Block(
        config.width,
        config.heads,
        config.mlp_ratio,
        qkv_bias=True,
        drop_path=drop_path,
        act_layer=_ACTIVATIONS[config.vit.activation],
        norm_layer=partial(LayerNorm, eps=config.vit.norm_eps),  # type: ignore[arg-type]
    )


class SparseEncoder(nn.Module):
    """Patch embedding, position and camera embeddings (Eq. 1), and the first `config.token_blocks` blocks.

    Models of other families may also have (`VitOptions`) extra tokens between `[cls]` and the patches, which include
    their position embeddings; a stem before the patch embedding; and a norm before the blocks.

    Args:
        config: Architecture of the model.
        drop_path: Stochastic depth rate of the last of all `config.depth` blocks; it grows linearly from 0 at the first
            block and is used in training mode only.

    Attributes:
        precision: Precision of the matrix products; set it before anything is encoded. Tokens and attention are always
            float32.
    """

    def __init__(self, config: ModelConfig, drop_path: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.precision = Precision.FLOAT32
        self.stem: nn.Module = nn.Identity()
        self.patch_embed = nn.Conv2d(3, config.width, config.patch_size, config.stride)
        if config.vit.stem is Stem.ICS:
            self.stem = IcsStem()
            self.patch_embed = nn.Conv2d(STEM_CHANNELS, config.width, config.patch_size // 2, config.stride // 2)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.position = nn.Parameter(torch.zeros(1, 1 + config.patches, config.width))
        self.camera = nn.Parameter(torch.zeros(config.cameras, 1, config.width))
        self.first_patch = 1 + config.vit.extra_tokens  # Index of the first patch token.
        if config.vit.extra_tokens:
            self.extra = nn.Parameter(torch.zeros(1, config.vit.extra_tokens, config.width))
            nn.init.trunc_normal_(self.extra, std=0.02)
        self.norm_pre: nn.Module = layer_norm(config) if config.vit.norm_before_blocks else nn.Identity()
        step = drop_path / max(config.depth - 1, 1)
        self.blocks = nn.ModuleList(transformer_block(config, step * i) for i in range(config.token_blocks))
        for embedding in (self.cls_token, self.position, self.camera):
            nn.init.trunc_normal_(embedding, std=0.02)

    def forward(self, images: Tensor, cameras: Tensor | None, prune: PruneSettings) -> Encoding:
        """Encode images by calling `prefix` and `finish`.

        Args:
            images: (B, 3, H, W) normalised images.
            cameras: (B,) int64 cameras, or None for the mean camera embedding.
            prune: Settings of dropping patches.
        """
        return self.finish(self.prefix(images, cameras, prune.blocks[0]), prune)

    def prefix(self, images: Tensor, cameras: Tensor | None = None, block: int = 3) -> EncoderState:
        """Compute everything that does not depend on the keep rate, up to the attention of the first dropping block.

        Args:
            images: (B, 3, H, W) normalised images of size `config.image_size`.
            cameras: (B,) int64 cameras, or None for the mean camera embedding.
            block: Index of the first dropping block.

        Raises:
            ValueError: The shape of the images, a camera or the block is invalid.
        """
        self._check_block(block)
        with self.casting(images.device):
            tokens = self.embed(images, cameras)
            for before in self.blocks[:block]:
                tokens = before(tokens)
            tokens, attention = _attend(self.blocks[block], tokens, self.first_patch)
        return EncoderState(tokens, attention, block, self.config.vit.extra_tokens)

    def finish(self, state: EncoderState, prune: PruneSettings, until: int | None = None) -> Encoding:
        """Drop patches at `state.block` and at the later dropping blocks, and run the remaining blocks.

        Args:
            state: Result of `prefix`.
            prune: Settings of dropping patches.
            until: Index of the block to stop before, so that the result is the input of that block; None to run all.

        Raises:
            ValueError: The state belongs to another first dropping block, `until` is not after the last one, or the
                given patches do not fit the grid.
        """
        if state.block != prune.blocks[0]:
            raise ValueError(
                f"the state was computed for a first drop at block {state.block}, but the settings drop first at block "
                f"{prune.blocks[0]}; compute it with prefix(images, cameras, block={prune.blocks[0]})"
            )
        self._check_block(prune.blocks[-1])
        prune.check_grid(self.config.patches)
        until = len(self.blocks) if until is None else until
        if not prune.blocks[-1] < until <= len(self.blocks):
            possible = f"{prune.blocks[-1] + 1}..{len(self.blocks)}"
            raise ValueError(f"until must be in {possible}, after the last dropping block, got {until}")
        tokens, attention = state.tokens, state.attention
        positions = torch.arange(attention.shape[1], device=tokens.device).expand_as(attention)
        stages: list[DropStage] = []
        ends = (*prune.blocks[1:], until)
        with self.casting(tokens.device):
            for block, end in pairwise((state.block, *ends)):
                if stages:
                    tokens, attention = _attend(self.blocks[block], tokens, self.first_patch)
                tokens, kept = _drop(tokens, positions, attention, prune, block, self.config.patches)
                stages.append(DropStage(block, positions, attention, kept))
                positions = kept
                tokens = _mlp(self.blocks[block], tokens)
                for between in self.blocks[block + 1 : end]:
                    tokens = between(tokens)
        return Encoding(tokens, tuple(stages), self.config.grid, prune, self.config.vit.extra_tokens)

    def embed(self, images: Tensor, cameras: Tensor | None) -> Tensor:
        """Embed images (Eq. 1).

        Args:
            images: (B, 3, H, W) normalised images.
            cameras: (B,) int64 cameras, or None for the mean embedding; ignored by a model without camera embeddings.

        Returns:
            (B, 1 + E + N, C) tokens: `[cls]`, extra tokens, patches.

        Raises:
            ValueError: The shape of the images or a camera is invalid.
        """
        if images.ndim != 4 or images.shape[1:] != (3, *self.config.image_size):
            height, width = self.config.image_size
            raise ValueError(f"images must be (B, 3, {height}, {width}), got {tuple(images.shape)}; resize them first")
        patches = conv_rows(self.patch_embed, self.stem(images))
        tokens = torch.cat((self.cls_token.expand(len(images), -1, -1), patches), dim=1) + self.position
        if self.config.vit.extra_tokens:
            tokens = torch.cat((tokens[:, :1], self.extra.expand(len(images), -1, -1), tokens[:, 1:]), dim=1)
        if self.config.cameras:
            camera = self.config.camera_factor * self._camera(cameras, len(images))
            if self.config.vit.camera_on_cls:
                tokens = torch.cat((tokens[:, :1] + camera, tokens[:, 1:]), dim=1)
            else:
                tokens = tokens + camera
        return self.norm_pre(tokens)

    def casting(self, device: torch.device) -> AbstractContextManager[object]:
        """Return a context in which matrix products use `precision`; for float32, it keeps the caller's settings."""
        if self.precision is Precision.FLOAT32:
            return nullcontext()
        return torch.autocast(device.type, getattr(torch, self.precision.value))

    def _camera(self, cameras: Tensor | None, images: int) -> Tensor:
        """Return the camera embedding of each image.

        Args:
            cameras: (B,) int64 cameras, or None for the mean embedding.
            images: Number of images (B).

        Returns:
            (B, 1, C) embeddings, or (1, 1, C) for the mean embedding.

        Raises:
            ValueError: The number of cameras differs, or the model has no embedding for one of them.
        """
        if cameras is None:
            return self.camera.mean(dim=0, keepdim=True)
        if cameras.shape != (images,):
            raise ValueError(f"cameras must have shape ({images},) for {images} images, got {tuple(cameras.shape)}")
        low, high = torch.stack(cameras.aminmax()).cpu().tolist() if images else (0, 0)
        if not 0 <= low <= high < self.config.cameras:
            raise ValueError(
                f"cameras must be in 0..{self.config.cameras - 1}, got {low}..{high}; pass None for other cameras"
            )
        return self.camera[cameras]

    def _check_block(self, block: int) -> None:
        if not 0 <= block < len(self.blocks):
            raise ValueError(
                f"dropping block {block} does not exist: this encoder has blocks 0..{len(self.blocks) - 1} "
                "(ModelConfig.token_blocks); choose PruneSettings.blocks from these"
            )


def trace_blocks(
    blocks: Iterable[Any], tokens: Tensor, prune: PruneSettings, first_patch: int = 1
) -> tuple[DropStage, ...]:
    """Run all blocks of a model, and record the `[cls]` attention of every block.

    The tokens are those of `SparseEncoder` and `GlobalHead`, which record attention only at the dropping blocks.

    Args:
        blocks: All blocks, in order.
        tokens: (B, 1 + E + N, C) tokens from `SparseEncoder.embed`.
        prune: Settings of dropping patches.
        first_patch: Index 1 + E of the first patch token.

    Returns:
        One stage per block; `kept` equals `entered` in blocks that drop nothing.
    """
    patches = tokens.shape[1] - first_patch
    prune.check_grid(patches)
    positions = torch.arange(patches, device=tokens.device).expand(len(tokens), -1)
    stages: list[DropStage] = []
    for index, block in enumerate(blocks):
        tokens, attention = _attend(block, tokens, first_patch)
        entered = positions
        if index in prune.blocks:
            tokens, positions = _drop(tokens, positions, attention, prune, index, patches)
        stages.append(DropStage(index, entered, attention, positions))
        tokens = _mlp(block, tokens)
    return tuple(stages)


def _attend(block: Any, tokens: Tensor, first_patch: int = 1) -> tuple[Tensor, Tensor]:
    """Run the attention half of a timm Block, and compute the attention by which patches are dropped (Eq. 2).

    Only the `[cls]` row of the attention matrix is computed explicitly.

    Args:
        block: A timm Block.
        tokens: (B, 1 + E + n, C) tokens: `[cls]`, extra tokens, patches.
        first_patch: Index 1 + E of the first patch token.

    Returns:
        The tokens after the attention residual, and the (B, n) head-averaged attention of `[cls]` to the patches.
    """
    attn = block.attn
    qkv = attn.qkv(block.norm1(tokens)).unflatten(-1, (3, attn.num_heads, attn.head_dim))
    query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
    tokens = tokens + block.drop_path1(attn.proj(mixed))
    logits = (query[:, :, :1] * attn.scale) @ key.transpose(-2, -1)
    attention = logits.softmax(dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32)).mean(dim=1)
    return tokens, attention[:, 0, first_patch:]


def _mlp(block: Any, tokens: Tensor) -> Tensor:
    return tokens + block.drop_path2(block.mlp(block.norm2(tokens)))


def _drop(
    tokens: Tensor, positions: Tensor, attention: Tensor, prune: PruneSettings, block: int, patches: int
) -> tuple[Tensor, Tensor]:
    """Drop patch tokens at one block, and sort the others by descending score.

    Equal scores keep their token order. If nothing is dropped in any block, the tokens and their order do not change.

    Args:
        tokens: (B, 1 + E + n, C) tokens: `[cls]`, extra tokens, patches. Extra tokens are never dropped.
        positions: (B, n) grid positions of the patch tokens.
        attention: (B, n) attention of `[cls]` to the patch tokens.
        prune: Settings of dropping patches.
        block: Index of the dropping block.
        patches: Number of patches in the full grid.

    Returns:
        The remaining tokens, (B, 1 + E + k, C), and their grid positions, (B, k).
    """
    if prune.drops_nothing:
        return tokens, positions
    order = _score(positions, attention, prune.of_model, patches).argsort(dim=1, descending=True, stable=True)
    if prune.strategy is DropStrategy.GIVEN:
        order = _without_given(order, positions, prune.given[prune.blocks.index(block)], patches)
    else:
        order = order[:, : prune.kept(attention.shape[1])]
    first_patch = tokens.shape[1] - attention.shape[1]
    survivors = tokens[:, first_patch:].gather(1, order.unsqueeze(-1).expand(-1, -1, tokens.shape[2]))
    return torch.cat((tokens[:, :first_patch], survivors), dim=1), positions.gather(1, order)


def _without_given(order: Tensor, positions: Tensor, given: tuple[int, ...], patches: int) -> Tensor:
    """Remove given patches from an order of tokens. Every image loses the same patches, so the result is a matrix.

    Args:
        order: (B, n) indices of the patch tokens, in the order in which they are kept.
        positions: (B, n) grid positions of the patch tokens.
        given: Grid positions of the patches to drop.
        patches: Number of patches in the full grid.

    Returns:
        (B, k) indices of the remaining patch tokens.
    """
    is_kept = torch.ones(patches, dtype=torch.bool, device=order.device)
    is_kept[torch.tensor(given, dtype=torch.int64, device=order.device)] = False
    return order[is_kept[positions.gather(1, order)]].view(len(order), -1)


def _score(positions: Tensor, attention: Tensor, prune: PruneSettings, patches: int) -> Tensor:
    """Return a score for each patch; the patches with the highest scores are kept (Table 5).

    Random scores belong to grid positions and come from a CPU generator, so that a seed selects the same positions on
    every device, for every image and in every batch. Every later block also keeps a uniform random sample.

    Args:
        positions: (B, n) grid positions of the patch tokens.
        attention: (B, n) attention of `[cls]` to the patch tokens.
        prune: Settings with the strategy and the seed.
        patches: Number of patches in the full grid.

    Returns:
        (B, n) scores.
    """
    if prune.strategy is DropStrategy.NON_SALIENT:
        return attention
    if prune.strategy is DropStrategy.SALIENT:
        return -attention
    drawn = torch.rand(patches, generator=torch.Generator().manual_seed(prune.seed))
    return drawn.to(positions.device)[positions]
