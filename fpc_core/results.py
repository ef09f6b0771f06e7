"""Frozen results: every arrow of the data flow, with shapes.

Symbols: B images, N patches of the full grid, M patches kept, C channels, S shortlisted candidates, K neighbours, G
gallery images. Patch positions are always original positions in the row-major patch grid, plans are always query x
gallery, and gallery indices are always rows of the gallery memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import torch
from torch import Tensor

from fpc_core.config import PruneSettings, QuerySettings


@dataclass(frozen=True, eq=False)
class EncoderState:
    """The encoder's state before the first drop, which does not depend on the keep rate.

    Attributes:
        tokens: (B, 1 + N, C) after the attention residual of the first dropping block, before its MLP.
        attention: (B, N) head-averaged softmax attention of `[cls]` to every patch in that block (not to itself).
        block: Index of that block.
    """

    tokens: Tensor
    attention: Tensor
    block: int

    def __post_init__(self) -> None:
        batch, tokens, _ = self.tokens.shape
        if self.attention.shape != (batch, tokens - 1):
            raise ValueError(f"attention {tuple(self.attention.shape)} does not fit tokens {tuple(self.tokens.shape)}")

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, rows: slice) -> EncoderState:
        return EncoderState(self.tokens[rows], self.attention[rows], self.block)

    def to(self, device: torch.device) -> EncoderState:
        """Return a copy on `device`."""
        return EncoderState(self.tokens.to(device), self.attention.to(device), self.block)

    @staticmethod
    def join(parts: Sequence[EncoderState]) -> EncoderState:
        """Concatenate the states of consecutive images."""
        tokens, attention = (torch.cat(side) for side in zip(*((p.tokens, p.attention) for p in parts), strict=True))
        return EncoderState(tokens, attention, parts[0].block)


@dataclass(frozen=True, eq=False)
class DropStage:
    """One dropping block.

    Attributes:
        block: Index of the block.
        entered: (B, n) int64 original positions of the patches that entered, in token order.
        attention: (B, n) head-averaged attention of `[cls]` to them, which decides what is dropped.
        kept: (B, k) int64 original positions of the kept patches, in the token order after the block (descending score
            for the paper's strategy; at keep rate 1 `kept` equals `entered`).
    """

    block: int
    entered: Tensor
    attention: Tensor
    kept: Tensor

    def __post_init__(self) -> None:
        if self.entered.shape != self.attention.shape:
            raise ValueError("every patch that entered a block needs one attention value")
        if self.kept.shape[1] > self.entered.shape[1]:
            raise ValueError("a block cannot keep more patches than entered it")

    def to(self, device: torch.device) -> DropStage:
        """Return a copy on `device`."""
        return DropStage(self.block, *(each.to(device) for each in (self.entered, self.attention, self.kept)))

    @staticmethod
    def join(parts: Sequence[DropStage]) -> DropStage:
        """Concatenate the stages of one block for consecutive images."""
        sides = zip(*((p.entered, p.attention, p.kept) for p in parts), strict=True)
        return DropStage(parts[0].block, *map(torch.cat, sides))


@dataclass(frozen=True, eq=False)
class Encoding:
    """Tokens of B images, and which patches were dropped on the way (Sec. 3.1).

    Attributes:
        tokens: (B, 1 + M, C), `[cls]` first, after `ModelConfig.token_blocks` blocks.
        stages: One per dropping block, in order.
        grid: Rows and columns of the patch grid.
        prune: The settings used.
    """

    tokens: Tensor
    stages: tuple[DropStage, ...]
    grid: tuple[int, int]
    prune: PruneSettings

    def __post_init__(self) -> None:
        if self.stages and self.stages[-1].kept.shape[1] != self.tokens.shape[1] - 1:
            raise ValueError("the last stage must keep exactly the patch tokens of the encoding")

    @property
    def cls(self) -> Tensor:
        """The `[cls]` tokens, (B, C)."""
        return self.tokens[:, 0]

    @property
    def patches(self) -> Tensor:
        """The patch tokens, (B, M, C)."""
        return self.tokens[:, 1:]

    @property
    def positions(self) -> Tensor:
        """Original grid position of every patch token, (B, M) int64."""
        if self.stages:
            return self.stages[-1].kept
        batch, tokens, _ = self.tokens.shape
        return torch.arange(tokens - 1, device=self.tokens.device).expand(batch, -1)

    def __getitem__(self, rows: slice) -> Encoding:
        stages = tuple(DropStage(s.block, s.entered[rows], s.attention[rows], s.kept[rows]) for s in self.stages)
        return Encoding(self.tokens[rows], stages, self.grid, self.prune)

    def to(self, device: torch.device) -> Encoding:
        """Return a copy on `device`."""
        return Encoding(self.tokens.to(device), tuple(s.to(device) for s in self.stages), self.grid, self.prune)

    @staticmethod
    def join(parts: Sequence[Encoding]) -> Encoding:
        """Concatenate the encodings of consecutive images with the same prune settings."""
        tokens = torch.cat([part.tokens for part in parts])
        stages = tuple(map(DropStage.join, zip(*(part.stages for part in parts), strict=True)))
        return Encoding(tokens, stages, parts[0].grid, parts[0].prune)


@dataclass(frozen=True, eq=False)
class Shortlist:
    """The S gallery images nearest by cosine, nearest first (Eq. 4).

    Attributes:
        indices: (S,) int64 rows of the gallery memory.
        d_cos: (S,) float32, 1 - cosine of the two `[cls]` tokens, ascending.
    """

    indices: np.ndarray
    d_cos: np.ndarray

    def __post_init__(self) -> None:
        if self.indices.shape != self.d_cos.shape or self.indices.ndim != 1:
            raise ValueError("a shortlist needs one cosine distance per index")

    def __contains__(self, row: int) -> bool:
        return bool((self.indices == row).any())

    def position(self, row: int) -> int:
        """Return the 0-based position of a gallery row on the shortlist.

        Raises:
            ValueError: The row is not on the shortlist.
        """
        positions = np.flatnonzero(self.indices == row)
        if not len(positions):
            raise ValueError(f"gallery row {row} is not on the shortlist, so it has no transport")
        return int(positions[0])


@dataclass(frozen=True, eq=False)
class Transport:
    """Solved transport from one query to S candidates (Eq. 5 to 9).

    Attributes:
        distance: (S,) float32, D_EMD = sum of plan * ground cost.
        iterations: (S,) int; 0 for the exact solver.
        marginal_error: (S,) float32, L1 error of the worse marginal, as measured.
        query_marginal: (S, M) float32; each row sums to 1.
        gallery_marginal: (S, N) float32; each row sums to 1.
        query_potential: (S, M) dual potential f. For the Sinkhorn solvers plan = exp((f + g - cost) / epsilon), and the
            potentials are -inf where the marginal is zero; for the exact solver they are the dual variables of the
            linear programme.
        gallery_potential: (S, N) dual potential g.
    """

    distance: np.ndarray
    iterations: np.ndarray
    marginal_error: np.ndarray
    query_marginal: np.ndarray
    gallery_marginal: np.ndarray
    query_potential: np.ndarray
    gallery_potential: np.ndarray

    @staticmethod
    def join(parts: Sequence[Transport]) -> Transport:
        """Concatenate the transports to consecutive candidates."""
        sides = ([getattr(part, each.name) for part in parts] for each in fields(Transport))
        return Transport(*map(np.concatenate, sides))


@dataclass(frozen=True, eq=False)
class TransportPlan:
    """The plan between the query and one gallery image.

    Attributes:
        gallery_index: Row of the gallery memory.
        plan: (M, N) float32, query x gallery; sums to 1 within the solver's tolerance, for the released solver within
            `Transport.marginal_error`.
        cost: (M, N) float32 ground cost 1 - cosine; the sum of plan * cost is D_EMD.
        query_positions: (M,) original grid positions of the rows; the columns are the full grid in order.
    """

    gallery_index: int
    plan: np.ndarray
    cost: np.ndarray
    query_positions: np.ndarray

    def __post_init__(self) -> None:
        if self.plan.shape != self.cost.shape or len(self.query_positions) != len(self.plan):
            raise ValueError("plan, cost and positions do not fit each other")


@dataclass(frozen=True, eq=False)
class Match:
    """The part of the matching that depends on neither alpha nor K: changing these takes a weighted sum and a sort."""

    shortlist: Shortlist
    transport: Transport


@dataclass(frozen=True, eq=False)
class Ranking:
    """Gallery rows, nearest first, with the distance they are ranked by."""

    indices: np.ndarray
    distance: np.ndarray

    def __post_init__(self) -> None:
        if self.indices.shape != self.distance.shape:
            raise ValueError("a ranking needs one distance per index")


@dataclass(frozen=True)
class Swap:
    """An alpha at which two shortlisted candidates have equal D.

    Attributes:
        alpha: Below it `first` ranks before `second`, above it after.
        first: Position on the shortlist.
        second: Position on the shortlist.
    """

    alpha: float
    first: int
    second: int


@dataclass(frozen=True, eq=False)
class Consolidation:
    """Output of the decoder for one query (Eq. 11 to 13).

    Attributes:
        feature: (C,) after the BNNeck, compared in the final ranking.
        neighbors: (K,) rows of the gallery memory that the decoder read.
        cls_share: Attention to `[cls]`, head-averaged; the three parts of Eq. 13 sum to 1.
        query_share: Attention to the query's patches.
        neighbor_shares: (K,) attention to each neighbour's patches.
        query_grid: (rows, columns), NaN where the patch was dropped; all NaN in the released variant, whose decoder
            does not read the query.
        neighbor_grids: (K, rows, columns) attention to every neighbour patch.
    """

    feature: np.ndarray
    neighbors: np.ndarray
    cls_share: float
    query_share: float
    neighbor_shares: np.ndarray
    query_grid: np.ndarray
    neighbor_grids: np.ndarray

    def __post_init__(self) -> None:
        total = self.cls_share + self.query_share + float(self.neighbor_shares.sum())
        if not np.isclose(total, 1.0, atol=1e-4):
            raise ValueError(f"the attention shares of Eq. 13 must sum to 1, got {total}")


@dataclass(frozen=True, eq=False)
class QueryTrace:
    """All results of one query, which the app, the command line and the figures show.

    Attributes:
        settings: Settings of the search.
        encoding: The query's encoding.
        match: Shortlist and transport.
        by_cosine: The shortlist by D_cos.
        by_distance: The shortlist by D (Eq. 10).
        consolidation: Output of the decoder.
        final: The whole gallery by the consolidated feature.
        timings: Seconds per stage that was computed.
    """

    settings: QuerySettings
    encoding: Encoding
    match: Match
    by_cosine: Ranking
    by_distance: Ranking
    consolidation: Consolidation
    final: Ranking
    timings: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Scores:
    """Retrieval scores over the queries that have at least one true match.

    Attributes:
        cmc: (R,) share of queries with a true match within the first r + 1 ranks.
        average_precision: (Q,) NaN for a query without a true match.
        first_match: (Q,) 0-based rank of the first true match among non-junk images, -1 if there is none.
    """

    cmc: np.ndarray
    average_precision: np.ndarray
    first_match: np.ndarray

    @property
    def mean_ap(self) -> float:
        """Mean average precision (mAP) as a fraction."""
        return float(np.nanmean(self.average_precision))

    @property
    def rank1(self) -> float:
        """Rank-1 as a fraction."""
        return float(self.cmc[0])

    @property
    def skipped(self) -> int:
        """Number of queries without a true match in the gallery, which are excluded from all means."""
        return int(np.isnan(self.average_precision).sum())
