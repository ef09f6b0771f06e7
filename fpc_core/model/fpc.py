"""FPC: encoder, global head and decoder, each head with its BNNeck and classifier."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from fpc_core.config import ModelConfig, PruneSettings, Variant
from fpc_core.model.decoder import Decoder, GlobalHead, cls_rows, consolidate
from fpc_core.model.encoder import SparseEncoder, follow
from fpc_core.results import Consolidation, DropStage, Encoding


class FPC(nn.Module):
    """The network of the paper with the heads of the released code.

    Features before a BNNeck (`global_token`, what `decoder` gives) are what the triplet loss takes, those after it
    what the classifiers and the rankings take. drop_path: stochastic depth in training, see SparseEncoder.
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
        """The same network on the CPU, in eval mode; takes no memory of the device."""
        with torch.inference_mode(False), torch.device("meta"):
            copy = FPC(self.config)
        with torch.inference_mode(False):
            copy.load_state_dict(
                {name: each.detach().cpu().clone() for name, each in self.state_dict().items()}, assign=True
            )
        copy.encoder.precision = self.encoder.precision
        return copy.requires_grad_(next(self.parameters()).requires_grad).eval()

    def encode(self, images: Tensor, cameras: Tensor | None, prune: PruneSettings) -> Encoding:
        """(B, 3, H, W) normalised images, (B,) int64 cameras or None -> Encoding with tokens (B, 1 + M, C)."""
        return self.encoder(images, cameras, prune)

    def follow(self, images: Tensor, cameras: Tensor | None, prune: PruneSettings) -> tuple[DropStage, ...]:
        """The same images through all `config.depth` blocks, those of the global head included: one stage per block."""
        with self.encoder.casting(images.device):
            return follow((*self.encoder.blocks, *self.head.blocks), self.encoder.embed(images, cameras), prune)

    def forward(self, images: Tensor, cameras: Tensor | None, prune: PruneSettings) -> Tensor:
        """The encoder's own feature after the BNNeck: (B, 3, H, W) -> (B, C)."""
        return self.global_feature(self.encode(images, cameras, prune).tokens)

    def global_token(self, tokens: Tensor) -> Tensor:
        """(B, T, C) encoder tokens -> (B, C) before the BNNeck."""
        return self.head(tokens)

    def global_feature(self, tokens: Tensor) -> Tensor:
        """(B, T, C) encoder tokens -> (B, C) after the BNNeck; what the gallery is ranked by."""
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
        """Consolidate one query with its K neighbours (Eq. 11 to 13). The model must be in eval mode.

        query_cls: (C,); query_patches: (M, C) and their grid positions (M,) int64; neighbor_cls: (K, C);
        neighbor_patches: (K, N, C), the full grid; neighbor_rows: (K,) rows of the memory.
        """
        rows, columns = self.config.grid
        count, patches, _ = neighbor_patches.shape
        if patches != rows * columns:
            raise ValueError(f"neighbours hold {patches} patches, the model's grid is {rows} x {columns}")
        if len(neighbor_rows) != count or len(neighbor_cls) != count or count == 0:
            raise ValueError("neighbor_cls, neighbor_patches and neighbor_rows must name the same K >= 1 neighbours")
        if len(query_positions) != len(query_patches):
            raise ValueError(f"{len(query_patches)} query patches need as many positions, not {len(query_positions)}")

        tokens = decoder_input(query_cls, query_patches, neighbor_cls, neighbor_patches, variant)
        cls, attention = consolidate(self.decoder.block, self.decoder.norm, tokens)
        feature = self.rec_bottleneck(cls.unsqueeze(0))[0]

        shares = attention.mean(dim=0).float().cpu().numpy()
        on_query, on_neighbors = np.split(shares[1:], [len(shares) - 1 - count * patches])
        grids = on_neighbors.reshape(count, rows, columns)
        query_grid = np.full(rows * columns, np.nan, dtype=np.float32)
        if variant is Variant.PAPER:
            query_grid[query_positions.cpu().numpy()] = on_query
        return Consolidation(
            feature=feature.float().cpu().numpy(),
            neighbors=np.array(neighbor_rows, dtype=np.int64),
            cls_share=float(shares[0]),
            query_share=float(on_query.sum()),
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
        """The features (B, C) of `consolidate` for B sets of neighbours of one query at once, without the shares.

        gallery_cls: (U, C) and gallery_patches: (U, N, C) of all neighbours of all sets; member: (B, U) bool, at least
        one in every row. The decoder has no positions, so a set has no order.
        """
        count = member.sum(dim=1, keepdim=True)
        if not bool(count.all()):
            raise ValueError("every set needs at least one neighbour")
        total, tokens = member.float() @ gallery_cls, gallery_patches.flatten(0, 1)
        mask = member.repeat_interleave(gallery_patches.shape[1], dim=1)
        if variant is Variant.PAPER:
            total, count = total + query_cls, count + 1
            tokens = torch.cat((query_patches, tokens))
            mask = torch.cat((mask.new_ones(len(mask), len(query_patches)), mask), dim=1)
        return self.rec_bottleneck(self.decoder.norm(cls_rows(self.decoder.block, total / count, tokens, mask)))


def decoder_input(
    query_cls: Tensor, query_patches: Tensor, neighbor_cls: Tensor, neighbor_patches: Tensor, variant: Variant
) -> Tensor:
    """Eq. 11, or the released code's form of it: the tokens the decoder attends to.

    query_cls: (..., C); query_patches: (..., M, C); neighbor_cls: (..., K, C); neighbor_patches: (..., K, N, C).
    Paper: mean `[cls]` of the query and its neighbours, query patches, neighbours' patches: (..., 1 + M + K N, C).
    Released: mean `[cls]` of the neighbours alone, their patches alone: (..., 1 + K N, C).
    """
    flat = neighbor_patches.flatten(-3, -2)
    if variant is Variant.RELEASED:
        return torch.cat((neighbor_cls.mean(dim=-2, keepdim=True), flat), dim=-2)
    everyone = torch.cat((query_cls.unsqueeze(-2), neighbor_cls), dim=-2)
    return torch.cat((everyone.mean(dim=-2, keepdim=True), query_patches, flat), dim=-2)


def _bnneck(width: int) -> nn.BatchNorm1d:
    """BatchNorm whose bias stays zero in training (Luo et al. 2019)."""
    neck = nn.BatchNorm1d(width)
    neck.bias.requires_grad_(False)
    return neck


def _init_linear(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
