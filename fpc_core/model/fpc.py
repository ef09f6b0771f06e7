"""The FPC network: encoder, global head and decoder, with a BNNeck and a classifier each for head and decoder."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from fpc_core.config import ModelConfig, PruneSettings, Variant
from fpc_core.model.decoder import Decoder, GlobalHead, cls_rows, consolidate, decoder_input
from fpc_core.model.encoder import SparseEncoder, trace_blocks
from fpc_core.results import Consolidation, DropStage, Encoding


class FPC(nn.Module):
    """The network of the paper with the heads of the released code.

    The triplet loss uses features before a BNNeck (`global_token`, output of `decoder`); classifiers and rankings use
    features after it.

    Args:
        config: Architecture of the model.
        drop_path: Stochastic depth rate in training; see `SparseEncoder`.
    """

    def __init__(self, config: ModelConfig, drop_path: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.encoder = SparseEncoder(config, drop_path)
        self.head = GlobalHead(config, drop_path)
        self.decoder = Decoder(config, drop_path)
        self.bottleneck = _bnneck(config.width)
        self.rec_bottleneck = _bnneck(config.width)
        self.classifier = nn.Linear(config.width, config.identities, bias=False)
        self.rec_classifier = nn.Linear(config.width, config.identities, bias=False)
        self.apply(_init_linear)
        for classifier in (self.classifier, self.rec_classifier):
            nn.init.normal_(classifier.weight, std=0.001)

    def copy_on_cpu(self) -> FPC:
        """Return a copy of the network on the CPU in eval mode; the copy allocates no memory on the current device."""
        with torch.inference_mode(False), torch.device("meta"):
            copy = FPC(self.config)
        with torch.inference_mode(False):
            copy.load_state_dict(
                {name: each.detach().cpu().clone() for name, each in self.state_dict().items()}, assign=True
            )
        copy.encoder.precision = self.encoder.precision
        return copy.requires_grad_(next(self.parameters()).requires_grad).eval()

    def encode(self, images: Tensor, cameras: Tensor | None, prune: PruneSettings) -> Encoding:
        """Encode images.

        Args:
            images: (B, 3, H, W) normalised images.
            cameras: (B,) int64 cameras, or None for the mean camera embedding.
            prune: Settings of dropping patches.

        Returns:
            An encoding with tokens (B, 1 + M, C).
        """
        return self.encoder(images, cameras, prune)

    def trace_blocks(self, images: Tensor, cameras: Tensor | None, prune: PruneSettings) -> tuple[DropStage, ...]:
        """Record the `[cls]` attention of all `config.depth` blocks; see `encoder.trace_blocks`.

        Args:
            images: (B, 3, H, W) normalised images.
            cameras: (B,) int64 cameras, or None for the mean camera embedding.
            prune: Settings of dropping patches.

        Returns:
            One stage per block.
        """
        with self.encoder.casting(images.device):
            blocks, tokens = (*self.encoder.blocks, *self.head.blocks), self.encoder.embed(images, cameras)
            return trace_blocks(blocks, tokens, prune, self.encoder.first_patch)

    def forward(self, images: Tensor, cameras: Tensor | None, prune: PruneSettings) -> Tensor:
        """Return the encoder's own feature after the BNNeck.

        Args:
            images: (B, 3, H, W) normalised images.
            cameras: (B,) int64 cameras, or None for the mean camera embedding.
            prune: Settings of dropping patches.

        Returns:
            (B, C) features.
        """
        return self.global_feature(self.encode(images, cameras, prune).tokens)

    def global_token(self, tokens: Tensor) -> Tensor:
        """Return the global token before the BNNeck, (B, C), from (B, T, C) encoder tokens."""
        return self.head(tokens)

    def global_feature(self, tokens: Tensor) -> Tensor:
        """Return the global feature after the BNNeck, (B, C), from (B, T, C) encoder tokens."""
        return self.bottleneck(self.global_token(tokens))

    def consolidate(
        self,
        query_cls: Tensor,
        query_patches: Tensor,
        query_positions: Tensor,
        neighbor_cls: Tensor,
        neighbor_patches: Tensor,
        neighbor_rows: np.ndarray,
        variant: Variant,
    ) -> Consolidation:
        """Consolidate one query with its K neighbours (Eq. 11 to 13); the model must be in eval mode.

        Args:
            query_cls: (C,) `[cls]` token of the query.
            query_patches: (M, C) patch tokens of the query.
            query_positions: (M,) int64 grid positions of `query_patches`.
            neighbor_cls: (K, C) `[cls]` tokens of the neighbours.
            neighbor_patches: (K, N, C) patch tokens of the neighbours, full grid.
            neighbor_rows: (K,) rows of the neighbours in the gallery memory.
            variant: Whether to follow the paper or the released code.

        Raises:
            ValueError: The shapes do not match each other or the model's grid.
        """
        rows, columns = self.config.grid
        count, patches, _ = neighbor_patches.shape
        if patches != rows * columns:
            raise ValueError(f"neighbours must have {rows} x {columns} patches, the model's grid, got {patches}")
        if len(neighbor_rows) != count or len(neighbor_cls) != count or count == 0:
            raise ValueError(
                "neighbor_cls, neighbor_patches and neighbor_rows must have the same length of at least 1, got "
                f"{len(neighbor_cls)}, {count} and {len(neighbor_rows)}"
            )
        if len(query_positions) != len(query_patches):
            raise ValueError(
                f"query_positions must have one entry per query patch, {len(query_patches)}, got {len(query_positions)}"
            )

        tokens = decoder_input(query_cls, query_patches, neighbor_cls, neighbor_patches, variant)
        cls, attention = consolidate(self.decoder.block, self.decoder.norm, tokens)
        feature = self.rec_bottleneck(cls.unsqueeze(0))[0]

        shares = attention.mean(dim=0).float().cpu().numpy()
        query_attention, neighbor_attention = np.split(shares[1:], [len(shares) - 1 - count * patches])
        grids = neighbor_attention.reshape(count, rows, columns)
        query_grid = np.full(rows * columns, np.nan, dtype=np.float32)
        if variant is Variant.PAPER:
            query_grid[query_positions.cpu().numpy()] = query_attention
        return Consolidation(
            feature=feature.float().cpu().numpy(),
            neighbors=np.array(neighbor_rows, dtype=np.int64),
            cls_share=float(shares[0]),
            query_share=float(query_attention.sum()),
            neighbor_shares=grids.sum(axis=(1, 2)),
            query_grid=query_grid.reshape(rows, columns),
            neighbor_grids=grids,
        )

    def consolidate_sets(
        self,
        query_cls: Tensor,
        query_patches: Tensor,
        gallery_cls: Tensor,
        gallery_patches: Tensor,
        member: Tensor,
        variant: Variant,
    ) -> Tensor:
        """Compute the consolidated features for B sets of neighbours of one query at once, without attention shares.

        The order within a set does not matter, because the decoder has no position embeddings.

        Args:
            query_cls: (C,) `[cls]` token of the query.
            query_patches: (M, C) patch tokens of the query.
            gallery_cls: (U, C) `[cls]` tokens of all neighbours in any set.
            gallery_patches: (U, N, C) patch tokens of all neighbours in any set.
            member: (B, U) bool, whether a neighbour belongs to a set; every row needs at least one True.
            variant: Whether to follow the paper or the released code.

        Returns:
            (B, C) features.

        Raises:
            ValueError: A set is empty.
        """
        count = member.sum(dim=1, keepdim=True)
        if not bool(count.all()):
            raise ValueError(f"every set needs at least one neighbour, but set {int(count.argmin())} is empty")
        total, tokens = member.float() @ gallery_cls, gallery_patches.flatten(0, 1)
        mask = member.repeat_interleave(gallery_patches.shape[1], dim=1)
        if variant is Variant.PAPER:
            total, count = total + query_cls, count + 1
            tokens = torch.cat((query_patches, tokens))
            mask = torch.cat((mask.new_ones(len(mask), len(query_patches)), mask), dim=1)
        return self.rec_bottleneck(self.decoder.norm(cls_rows(self.decoder.block, total / count, tokens, mask)))


def _bnneck(width: int) -> nn.BatchNorm1d:
    """Build a batch normalisation whose bias is not trained and stays 0 (Luo et al. 2019)."""
    neck = nn.BatchNorm1d(width)
    neck.bias.requires_grad_(False)
    return neck


def _init_linear(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
