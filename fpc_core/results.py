"""Frozen results: every arrow of the data flow, with shapes.

Symbols: B images, N patches of the full grid, M patches kept, C channels, S shortlisted candidates, K neighbours,
G gallery images. Patch positions are always original positions in the row-major patch grid, plans are always query x
gallery, and gallery indices always count rows of the memory.
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
    """What does not depend on the keep rate: the state before the first drop.

    tokens: (B, 1 + N, C) after the attention residual of the first dropping block, before its MLP.
    attention: (B, N) head-averaged softmax attention of `[cls]` to every patch in that block (not to itself).
    block: index of that block.
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
        return EncoderState(self.tokens.to(device), self.attention.to(device), self.block)

    @staticmethod
    def join(parts: Sequence[EncoderState]) -> EncoderState:
        """The states of consecutive images as one."""
        tokens, attention = (torch.cat(side) for side in zip(*((p.tokens, p.attention) for p in parts), strict=True))
        return EncoderState(tokens, attention, parts[0].block)


@dataclass(frozen=True, eq=False)
class DropStage:
    """One dropping block.

    entered: (B, n) int64 original positions of the patches that entered, in token order.
    attention: (B, n) head-averaged attention of `[cls]` to them: what decided.
    kept: (B, k) int64 original positions of the survivors, in the token order that leaves the block (descending score
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
        return DropStage(self.block, *(each.to(device) for each in (self.entered, self.attention, self.kept)))

    @staticmethod
    def join(parts: Sequence[DropStage]) -> DropStage:
        """The stages of one block of consecutive images as one."""
        sides = zip(*((p.entered, p.attention, p.kept) for p in parts), strict=True)
        return DropStage(parts[0].block, *map(torch.cat, sides))


@dataclass(frozen=True, eq=False)
class Encoding:
    """Tokens of B images and how they came to be left (Sec. 3.1).

    tokens: (B, 1 + M, C), `[cls]` first, after `ModelConfig.token_blocks` blocks.
    stages: one per dropping block, in order.
    grid: rows and columns of the patch grid.
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
        """(B, C)"""
        return self.tokens[:, 0]

    @property
    def patches(self) -> Tensor:
        """(B, M, C)"""
        return self.tokens[:, 1:]

    @property
    def positions(self) -> Tensor:
        """(B, M) int64: the original grid position of every patch token."""
        if self.stages:
            return self.stages[-1].kept
        batch, tokens, _ = self.tokens.shape
        return torch.arange(tokens - 1, device=self.tokens.device).expand(batch, -1)

    def __getitem__(self, rows: slice) -> Encoding:
        stages = tuple(DropStage(s.block, s.entered[rows], s.attention[rows], s.kept[rows]) for s in self.stages)
        return Encoding(self.tokens[rows], stages, self.grid, self.prune)

    def to(self, device: torch.device) -> Encoding:
        return Encoding(self.tokens.to(device), tuple(s.to(device) for s in self.stages), self.grid, self.prune)

    @staticmethod
    def join(parts: Sequence[Encoding]) -> Encoding:
        """The encodings of consecutive images, pruned alike, as one."""
        tokens = torch.cat([part.tokens for part in parts])
        stages = tuple(map(DropStage.join, zip(*(part.stages for part in parts), strict=True)))
        return Encoding(tokens, stages, parts[0].grid, parts[0].prune)


@dataclass(frozen=True, eq=False)
class Shortlist:
    """The S gallery images nearest by cosine, nearest first (Eq. 4).

    indices: (S,) int64 rows of the memory.  d_cos: (S,) float32, 1 - cosine of the two `[cls]` tokens, ascending.
    """

    indices: np.ndarray
    d_cos: np.ndarray

    def __post_init__(self) -> None:
        if self.indices.shape != self.d_cos.shape or self.indices.ndim != 1:
            raise ValueError("a shortlist needs one cosine distance per index")

    def __contains__(self, row: int) -> bool:
        return bool((self.indices == row).any())

    def place(self, row: int) -> int:
        """Of a memory row, counted from 0.

        Raises ValueError for a row that is not on the shortlist.
        """
        places = np.flatnonzero(self.indices == row)
        if not len(places):
            raise ValueError(f"memory row {row} is not on the shortlist, so it has no transport")
        return int(places[0])


@dataclass(frozen=True, eq=False)
class Transport:
    """Solved transport from one query to S candidates (Eq. 5 to 9).

    distance: (S,) float32, D_EMD = sum of plan * ground cost.
    iterations: (S,) int; 0 for the exact solver.
    marginal_error: (S,) float32, L1 error of the worse marginal; what the solver reached, never assumed.
    query_marginal: (S, M), gallery_marginal: (S, N), float32, each row sums to 1.
    query_potential: (S, M), gallery_potential: (S, N): dual potentials f, g. For the Sinkhorn solvers
    plan = exp((f + g - cost) / epsilon), -inf where the marginal is zero; for the exact one the dual variables of the
    linear programme.
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
        """The transport to consecutive candidates as one."""
        sides = ([getattr(part, each.name) for part in parts] for each in fields(Transport))
        return Transport(*map(np.concatenate, sides))


@dataclass(frozen=True, eq=False)
class TransportPlan:
    """The plan between the query and one gallery image.

    plan: (M, N) float32, query x gallery; sums to 1 within the tolerance of its solver, the released solver's to what
    `Transport.marginal_error` says.  cost: (M, N) float32 ground cost 1 - cosine; the sum of plan * cost is D_EMD.
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
    """What of the matching depends neither on alpha nor on K; moves of these two are a weighted sum and a sort."""

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
    """At `alpha` the shortlisted candidates `first` and `second` (places in the shortlist) have equal D.

    Below it `first` ranks before `second`, above it after.
    """

    alpha: float
    first: int
    second: int


@dataclass(frozen=True, eq=False)
class Consolidation:
    """Output of the decoder for one query (Eq. 11 to 13).

    feature: (C,) after the BNNeck, what the final ranking compares.
    neighbors: (K,) rows of the memory the decoder looked at.
    cls_share, query_share: floats; neighbor_shares: (K,): the three parts of Eq. 13, head-averaged, together 1.
    query_grid: (rows, columns), NaN where the patch was dropped; all NaN in the released variant, whose
    decoder leaves the query out.
    neighbor_grids: (K, rows, columns): attention on every neighbour patch.
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
            raise ValueError(f"the attention shares of Eq. 13 must sum to 1, not {total}")


@dataclass(frozen=True, eq=False)
class QueryTrace:
    """One query, the whole way: what the app, the CLI and the figures show.

    by_cosine and by_distance rank the shortlist (by D_cos, by D of Eq. 10); final ranks the whole gallery by the
    consolidated feature.
    timings: seconds per stage, measured around the stage that ran.
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

    cmc: (R,) fraction of queries with a true match within the first r + 1 ranks.  average_precision: (Q,) NaN for a
    query without a true match.  first_match: (Q,) 0-based rank of the first true match among
    non-junk images, -1 for none.
    """

    cmc: np.ndarray
    average_precision: np.ndarray
    first_match: np.ndarray

    @property
    def mean_ap(self) -> float:
        """mAP as a fraction."""
        return float(np.nanmean(self.average_precision))

    @property
    def rank1(self) -> float:
        """Rank-1 as a fraction."""
        return float(self.cmc[0])

    @property
    def skipped(self) -> int:
        """Queries without any true match in the gallery; left out of every mean."""
        return int(np.isnan(self.average_precision).sum())
