"""Frozen dataclasses for the results of every stage of a search, with the shapes of their arrays.

Symbols: B images, N patches of the full grid, M patches kept, C channels, S shortlisted candidates, K neighbours, G
gallery images. Patch positions are always original positions in the row-major patch grid. Plans have one row per query
patch and one column per gallery patch. Gallery indices are always rows of the gallery memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
import torch
from torch import Tensor

from fpc_core.config import PruneSettings, QuerySettings


@dataclass(frozen=True, eq=False)
class EncoderState:
    """The encoder's state before the first drop, which does not depend on the keep rate.

    Attributes:
        tokens: (B, 1 + E + N, C) tokens after the attention residual of the first dropping block, before its MLP.
        attention: (B, N) head-averaged softmax attention of `[cls]` to every patch in that block, without `[cls]`.
        block: Index of that block.
        extra: Number E of extra tokens between `[cls]` and the patches (`VitOptions.extra_tokens`).
    """

    tokens: Tensor
    attention: Tensor
    block: int
    extra: int = 0

    def __post_init__(self) -> None:
        expected = (len(self.tokens), self.tokens.shape[1] - 1 - self.extra)
        if self.attention.shape != expected:
            raise ValueError(f"attention must have shape {expected} to match tokens, got {tuple(self.attention.shape)}")

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, rows: slice) -> EncoderState:
        return replace(self, tokens=self.tokens[rows], attention=self.attention[rows])

    def to(self, device: torch.device) -> EncoderState:
        """Return the state on `device`."""
        return replace(self, tokens=self.tokens.to(device), attention=self.attention.to(device))

    @staticmethod
    def join(parts: Sequence[EncoderState]) -> EncoderState:
        """Concatenate the states of consecutive images."""
        tokens, attention = (torch.cat(side) for side in zip(*((p.tokens, p.attention) for p in parts), strict=True))
        return replace(parts[0], tokens=tokens, attention=attention)


@dataclass(frozen=True, eq=False)
class DropStage:
    """Patches that entered one dropping block and those that it kept.

    Attributes:
        block: Index of the block.
        entered: (B, n) int64 original positions of the patches that entered the block, in token order.
        attention: (B, n) head-averaged attention of `[cls]` to these patches, which decides what is dropped.
        kept: (B, k) int64 original positions of the kept patches, in token order after the block (descending attention
            for the paper's strategy; at keep rate 1 `kept` equals `entered`).
    """

    block: int
    entered: Tensor
    attention: Tensor
    kept: Tensor

    def __post_init__(self) -> None:
        if self.entered.shape != self.attention.shape:
            raise ValueError(
                f"attention must have the shape of entered, {tuple(self.entered.shape)}, got "
                f"{tuple(self.attention.shape)}"
            )
        if self.kept.shape[1] > self.entered.shape[1]:
            raise ValueError(f"a block cannot keep {self.kept.shape[1]} of {self.entered.shape[1]} patches")

    def to(self, device: torch.device) -> DropStage:
        """Return the stage on `device`."""
        return DropStage(self.block, *(each.to(device) for each in (self.entered, self.attention, self.kept)))

    @staticmethod
    def join(parts: Sequence[DropStage]) -> DropStage:
        """Concatenate the stages of one block for consecutive images."""
        sides = zip(*((p.entered, p.attention, p.kept) for p in parts), strict=True)
        return DropStage(parts[0].block, *map(torch.cat, sides))


@dataclass(frozen=True, eq=False)
class Encoding:
    """Encoder output for B images, with the patches that were dropped (Sec. 3.1).

    Attributes:
        tokens: (B, 1 + E + M, C) tokens after `ModelConfig.token_blocks` blocks: `[cls]`, extra tokens, patches.
        stages: Stages of the dropping blocks, in order.
        grid: Rows and columns of the patch grid.
        prune: Settings with which the images were encoded.
        extra: Number E of extra tokens (`VitOptions.extra_tokens`), which only the head reads.
    """

    tokens: Tensor
    stages: tuple[DropStage, ...]
    grid: tuple[int, int]
    prune: PruneSettings
    extra: int = 0

    def __post_init__(self) -> None:
        patches = self.tokens.shape[1] - 1 - self.extra
        if self.stages and self.stages[-1].kept.shape[1] != patches:
            raise ValueError(
                f"the last stage keeps {self.stages[-1].kept.shape[1]} patches, but the encoding has {patches} patch "
                "tokens"
            )

    @property
    def cls(self) -> Tensor:
        """The `[cls]` tokens, (B, C)."""
        return self.tokens[:, 0]

    @property
    def patches(self) -> Tensor:
        """The patch tokens, (B, M, C)."""
        return self.tokens[:, 1 + self.extra :]

    @property
    def positions(self) -> Tensor:
        """Original grid position of every patch token, (B, M) int64."""
        if self.stages:
            return self.stages[-1].kept
        batch, patches, _ = self.patches.shape
        return torch.arange(patches, device=self.tokens.device).expand(batch, -1)

    def __getitem__(self, rows: slice) -> Encoding:
        stages = tuple(DropStage(s.block, s.entered[rows], s.attention[rows], s.kept[rows]) for s in self.stages)
        return replace(self, tokens=self.tokens[rows], stages=stages)

    def to(self, device: torch.device) -> Encoding:
        """Return the encoding on `device`."""
        return replace(self, tokens=self.tokens.to(device), stages=tuple(s.to(device) for s in self.stages))

    @staticmethod
    def join(parts: Sequence[Encoding]) -> Encoding:
        """Concatenate the encodings of consecutive images with the same prune settings."""
        tokens = torch.cat([part.tokens for part in parts])
        stages = tuple(map(DropStage.join, zip(*(part.stages for part in parts), strict=True)))
        return replace(parts[0], tokens=tokens, stages=stages)


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
            raise ValueError(
                f"indices and d_cos must have one shape (S,), got {self.indices.shape} and {self.d_cos.shape}"
            )

    def __contains__(self, row: int) -> bool:
        return bool((self.indices == row).any())

    def position(self, row: int) -> int:
        """Return the 0-based position of a gallery row on the shortlist.

        Raises:
            ValueError: The row is not on the shortlist.
        """
        positions = np.flatnonzero(self.indices == row)
        if not len(positions):
            raise ValueError(f"gallery row {row} is not on the shortlist, so no transport was computed for it")
        return int(positions[0])


@dataclass(frozen=True, eq=False)
class Transport:
    """Solved transport from one query to S candidates (Eq. 5 to 9, with normalised weights).

    Attributes:
        distance: (S,) float32, D_EMD = sum of plan * ground cost; 1 for the released solver if an image has no weight.
        iterations: (S,) int number of solver iterations; 0 for the exact solver.
        marginal_error: (S,) float32 measured L1 error of the worse of the two marginals.
        query_marginal: (S, M) float32 weights of the query's patches; each row sums to 1. For the released solver it is
            all 0 if no patch agrees with the other image.
        gallery_marginal: (S, N) float32 weights of the candidates' patches; as `query_marginal`.
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
        """Concatenate the transports from one query to consecutive candidates."""
        sides = ([getattr(part, each.name) for part in parts] for each in fields(Transport))
        return Transport(*map(np.concatenate, sides))


@dataclass(frozen=True, eq=False)
class TransportPlan:
    """Transport plan between the query and one gallery image.

    Attributes:
        gallery_index: Row of the image in the gallery memory.
        plan: (M, N) float32, query x gallery. It sums to 1 within the solver's tolerance, or within
            `Transport.marginal_error` for the released solver, whose plan is all 0 if an image has no weight.
        cost: (M, N) float32 ground cost 1 - cosine; the sum of plan * cost is D_EMD if any weight moves.
        query_positions: (M,) original grid positions of the rows. The columns follow the full grid in order.
    """

    gallery_index: int
    plan: np.ndarray
    cost: np.ndarray
    query_positions: np.ndarray

    def __post_init__(self) -> None:
        if self.plan.shape != self.cost.shape or len(self.query_positions) != len(self.plan):
            raise ValueError(
                f"plan, cost and query_positions must have shapes (M, N), (M, N) and (M,), got {self.plan.shape}, "
                f"{self.cost.shape} and {self.query_positions.shape}"
            )


@dataclass(frozen=True, eq=False)
class Match:
    """Shortlist and transport of one query, which do not depend on alpha and K."""

    shortlist: Shortlist
    transport: Transport


@dataclass(frozen=True, eq=False)
class Ranking:
    """Gallery rows, nearest first, with the distances by which they are ranked."""

    indices: np.ndarray
    distance: np.ndarray

    def __post_init__(self) -> None:
        if self.indices.shape != self.distance.shape:
            raise ValueError(
                f"indices and distance must have one shape, got {self.indices.shape} and {self.distance.shape}"
            )

    def __len__(self) -> int:
        return len(self.indices)

    def first(self, count: int) -> Ranking:
        """Return the first `count` ranks."""
        return Ranking(self.indices[:count], self.distance[:count])

    def pairs(self) -> Iterator[tuple[int, float]]:
        """Yield rows with their distances, nearest first; if the caller stops early, later ranks need not be sorted."""
        done, count = 0, 64
        while done < len(self):
            part = self.first(count)
            yield from zip(part.indices[done:].tolist(), part.distance[done:].tolist(), strict=True)
            done, count = count, 64 * count


@dataclass(frozen=True)
class Swap:
    """An alpha at which two shortlisted candidates have equal D.

    Attributes:
        alpha: Weight of D_EMD at which the two swap. Below it, `first` is ranked before `second`; above it, after.
        first: Position of one candidate on the shortlist.
        second: Position of the other candidate on the shortlist.
    """

    alpha: float
    first: int
    second: int


@dataclass(frozen=True, eq=False)
class Consolidation:
    """Output of the decoder for one query (Eq. 11 to 13).

    Attributes:
        feature: (C,) consolidated feature after the BNNeck, by which the final ranking is computed.
        neighbors: (K,) rows of the gallery memory that the decoder read.
        cls_share: Head-averaged attention to `[cls]`; the three parts of Eq. 13 sum to 1.
        query_share: Total attention to the query's patches.
        neighbor_shares: (K,) total attention to each neighbour's patches.
        query_grid: (rows, columns) attention to each query patch; NaN where the patch was dropped, and all NaN in the
            released variant, whose decoder does not read the query.
        neighbor_grids: (K, rows, columns) attention to each patch of the neighbours.
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
    """Results of all stages of one search.

    Attributes:
        settings: Settings of the search.
        encoding: The query's encoding.
        match: Shortlist and transport.
        by_cosine: The shortlist ranked by D_cos.
        by_distance: The shortlist ranked by D (Eq. 10).
        consolidation: Output of the decoder.
        final: The whole gallery ranked by the consolidated feature.
        timings: Seconds that each computed stage took, by name of the stage.
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
        cmc: (R,) share of queries with a true match within the first r + 1 ranks, at index r.
        average_precision: (Q,) average precision; NaN for a query without a true match.
        first_match: (Q,) 0-based rank of the first true match among non-junk images, -1 if there is none.
    """

    cmc: np.ndarray
    average_precision: np.ndarray
    first_match: np.ndarray

    @property
    def mean_ap(self) -> float:
        """Mean average precision (mAP), in [0, 1]."""
        return float(np.nanmean(self.average_precision))

    @property
    def rank1(self) -> float:
        """Rank-1, in [0, 1]."""
        return float(self.cmc[0])

    @property
    def skipped(self) -> int:
        """Number of queries without a true match in the gallery, which are excluded from all means."""
        return int(np.isnan(self.average_precision).sum())
