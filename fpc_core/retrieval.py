"""One query, the whole way: what the app, the CLI, the evaluation and the figures all call.

`Retriever` keeps no state of its own besides the model, the memory and what finds the shortlist (`tokens.held()` keeps
the memory's tokens on the device for a while, which changes no result). Each stage takes the stage before it, so a
caller holds on to what a slider did not change:

    prepare    image -> EncoderState                  independent of the keep rate
    encode     EncoderState, prune -> Encoding
    match      Encoding, settings -> Match            independent of alpha and K
    consolidate  Encoding, neighbours -> Consolidation  depends on the set of neighbours
    search     all of it -> QueryTrace
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from fpc_core.config import PruneSettings, QuerySettings, Variant
from fpc_core.matching.ranking import combined_distance, rank, rank_by_feature
from fpc_core.matching.shortlists import ShortlistIndex, TorchIndex
from fpc_core.matching.transport import ground_cost, marginals, plan, solve
from fpc_core.memory import GalleryMemory
from fpc_core.model.fpc import FPC
from fpc_core.resident import ResidentTokens
from fpc_core.results import (
    Consolidation,
    DropStage,
    EncoderState,
    Encoding,
    Match,
    QueryTrace,
    Ranking,
    TransportPlan,
)


class Retriever:
    """Joins a model and the gallery memory built with it. Raises ValueError where the two do not fit each other."""

    def __init__(self, model: FPC, memory: GalleryMemory, index: ShortlistIndex | None = None) -> None:
        """index: finds the shortlist in the memory's `[cls]` tokens; None for plain torch."""
        held = (memory.cls.shape[1], *memory.grid)
        wanted = (model.config.width, *model.config.grid)
        if held != wanted:
            raise ValueError(
                f"the memory holds (channels, rows, columns) {held}, the model makes {wanted}; "
                "build the memory again with these weights: python -m fpc_core memory build"
            )
        self.model = model
        self.memory = memory
        self.index = index or TorchIndex(memory.cls, lambda: memory.unit_cls)
        self.device = next(model.parameters()).device
        self.tokens = ResidentTokens(memory, self.device)

    @torch.inference_mode()
    def prepare(self, images: Tensor, cameras: Tensor | None = None, block: int = 3) -> EncoderState:
        """images: (B, 3, H, W) normalised; cameras: (B,) int64 or None for the mean camera embedding."""
        cameras = None if cameras is None else cameras.to(self.device)
        return self.model.encoder.prefix(images.to(self.device), cameras, block)

    @torch.inference_mode()
    def encode(self, state: EncoderState, prune: PruneSettings) -> Encoding:
        """Drop and run the rest of the blocks (Sec. 3.1)."""
        return self.model.encoder.finish(state, prune)

    @torch.inference_mode()
    def follow(self, images: Tensor, cameras: Tensor | None, prune: PruneSettings) -> tuple[DropStage, ...]:
        """`[cls]` attention and survivors of all blocks, not only of the dropping ones; arguments as for `prepare`."""
        cameras = None if cameras is None else cameras.to(self.device)
        return self.model.follow(images.to(self.device), cameras, prune)

    @torch.inference_mode()
    def match(self, encoding: Encoding, settings: QuerySettings) -> Match:
        """Shortlist by cosine, transport to every shortlisted candidate. encoding: one image.

        Of the settings only `shortlist`, `variant` and `transport` matter here.
        """
        query_cls, query_patches = _only(encoding)
        short = self.index.search(query_cls, settings.shortlist)
        gallery = self.tokens.patches(short.indices)
        query_marginal, gallery_marginal = marginals(
            query_cls, query_patches, self._cls(short.indices), gallery, settings.variant
        )
        transport = solve(ground_cost(query_patches, gallery), query_marginal, gallery_marginal, settings.transport)
        return Match(short, transport)

    def by_distance(self, match: Match, alpha: float) -> Ranking:
        """The shortlist ranked by D of Eq. 10."""
        short = match.shortlist
        return rank(short.indices, combined_distance(short.d_cos, match.transport.distance, alpha))

    @torch.inference_mode()
    def plan(self, encoding: Encoding, match: Match, place: int, settings: QuerySettings) -> TransportPlan:
        """The transport plan to the candidate at `place` of the shortlist."""
        _, query_patches = _only(encoding)
        index = int(match.shortlist.indices[place])
        cost = ground_cost(query_patches, self.tokens.patches([index]))[0]
        return TransportPlan(
            gallery_index=index,
            plan=plan(cost, match.transport, place, settings.transport),
            cost=cost.float().cpu().numpy(),
            query_positions=encoding.positions[0].cpu().numpy(),
        )

    @torch.inference_mode()
    def consolidate(self, encoding: Encoding, neighbors: np.ndarray, variant: Variant) -> Consolidation:
        """Eq. 11 to 13 with the memory rows `neighbors` (K,)."""
        query_cls, query_patches = _only(encoding)
        return self.model.consolidate(
            query_cls,
            query_patches,
            encoding.positions[0],
            self._cls(neighbors),
            self.tokens.patches(neighbors),
            neighbors,
            variant,
        )

    @torch.inference_mode()
    def consolidate_sets(self, encoding: Encoding, sets: Sequence[np.ndarray], variant: Variant) -> np.ndarray:
        """(B, C) the features of `consolidate` for B sets of memory rows at once, to rounding."""
        query_cls, query_patches = _only(encoding)
        rows = np.unique(np.concatenate(sets))
        member = torch.zeros(len(sets), len(rows), dtype=torch.bool)
        for place, each in enumerate(sets):
            member[place, np.searchsorted(rows, each)] = True
        features = self.model.consolidate_sets(
            query_cls,
            query_patches,
            self._cls(rows),
            self.tokens.patches(rows),
            member.to(self.device),
            variant,
        )
        return features.float().cpu().numpy()

    def by_feature(self, feature: np.ndarray) -> Ranking:
        """The whole gallery by Euclidean distance to a feature (C,) after the BNNeck, both L2-normalised."""
        return rank_by_feature(feature, self.memory.unit_features)

    @torch.inference_mode()
    def global_feature(self, encoding: Encoding) -> np.ndarray:
        """(C,) the encoder's own feature after the BNNeck, without consolidation."""
        return self.model.global_feature(encoding.tokens)[0].float().cpu().numpy()

    def search(
        self,
        query: Tensor | EncoderState,
        settings: QuerySettings,
        cameras: Tensor | None = None,
    ) -> QueryTrace:
        """query: (1, 3, H, W) normalised image, or the state `prepare` made of it."""
        watch = _Stopwatch(self.device)
        state = query
        if isinstance(state, Tensor):
            with watch("encode to first drop"):
                state = self.prepare(state, cameras, settings.prune.blocks[0])
        with watch("encode the rest"):
            encoding = self.encode(state, settings.prune)
        with watch("match"):
            match = self.match(encoding, settings)
        return self.finish(encoding, match, settings, watch)

    def finish(
        self, encoding: Encoding, match: Match, settings: QuerySettings, watch: _Stopwatch | None = None
    ) -> QueryTrace:
        """Everything after the matching: all that an alpha or K move recomputes."""
        watch = watch or _Stopwatch(self.device)
        with watch("rank"):
            by_distance = self.by_distance(match, settings.alpha)
        with watch("consolidate"):
            consolidation = self.consolidate(encoding, by_distance.indices[: settings.neighbors], settings.variant)
        with watch("rank the gallery"):
            final = self.by_feature(consolidation.feature)
        return QueryTrace(
            settings=settings,
            encoding=encoding,
            match=match,
            by_cosine=Ranking(match.shortlist.indices, match.shortlist.d_cos),
            by_distance=by_distance,
            consolidation=consolidation,
            final=final,
            timings=dict(watch.seconds),
        )

    def _cls(self, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(self.memory.cls[rows])).to(self.device)


def _only(encoding: Encoding) -> tuple[Tensor, Tensor]:
    """`[cls]` (C,) and patches (M, C) of an encoding of one image."""
    if len(encoding.tokens) != 1:
        raise ValueError(f"matching takes one query at a time, not {len(encoding.tokens)}; slice the encoding first")
    return encoding.cls[0], encoding.patches[0]


class _Stopwatch:
    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = {}
        self._device = device

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self.seconds[stage] = time.perf_counter() - start
