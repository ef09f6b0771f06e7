"""One query, the whole way: what the app, the CLI, the evaluation and the figures all call.

`Retriever` keeps no state of its own besides the model, the memory and what finds the shortlist (`tokens.held()` keeps
the memory's tokens on the device for a while, which changes no result). Each stage takes the stage before it, so a
caller holds on to what a slider did not change. A stage that the device has no memory for is computed in smaller parts,
then on the CPU (`shortage.py`); the next one tries the device again.

    prepare    image -> EncoderState                  independent of the keep rate
    encode     EncoderState, prune -> Encoding
    match      Encoding, settings -> Match            independent of alpha and K
    consolidate  Encoding, neighbours -> Consolidation  depends on the set of neighbours
    search     all of it -> QueryTrace
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from operator import itemgetter
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from fpc_core.config import PruneSettings, QuerySettings, Solver, Variant
from fpc_core.gallery.device_tokens import DeviceTokenCache
from fpc_core.gallery.memory import GalleryMemory
from fpc_core.matching.ranking import combined_distance, rank, rank_by_feature
from fpc_core.matching.shortlist import ShortlistIndex, TorchIndex
from fpc_core.matching.transport import ground_cost, marginals, plan, solve
from fpc_core.model.fpc import FPC
from fpc_core.results import (
    Consolidation,
    DropStage,
    EncoderState,
    Encoding,
    Match,
    QueryTrace,
    Ranking,
    Shortlist,
    Transport,
    TransportPlan,
)
from fpc_core.runtime.interruption import checkpoint
from fpc_core.runtime.out_of_memory import OomFallback

_T = TypeVar("_T")


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
        self.tokens = DeviceTokenCache(memory, self.device)

    @cached_property
    def on_cpu(self) -> Retriever:
        """The same on the CPU; itself where it is there already."""
        return self if self.device.type == "cpu" else Retriever(self.model.copy_on_cpu(), self.memory, self.index)

    @torch.inference_mode()
    def prepare(self, images: Tensor, cameras: Tensor | None = None, block: int = 3) -> EncoderState:
        """images: (B, 3, H, W) normalised; cameras: (B,) int64 or None for the mean camera embedding."""

        def work(to: Retriever, rows: slice) -> EncoderState:
            own = None if cameras is None else cameras[rows].to(to.device)
            return to.model.encoder.prefix(images[rows].to(to.device), own, block)

        return self.spared("the encoder", len(images), work, EncoderState.join)

    @torch.inference_mode()
    def encode(self, state: EncoderState, prune: PruneSettings) -> Encoding:
        """Drop and run the rest of the blocks (Sec. 3.1)."""
        return self.spared(
            "the encoder",
            len(state.tokens),
            lambda to, rows: to.model.encoder.finish(state[rows].to(to.device), prune),
            Encoding.join,
        )

    @torch.inference_mode()
    def follow(self, images: Tensor, cameras: Tensor | None, prune: PruneSettings) -> tuple[DropStage, ...]:
        """`[cls]` attention and survivors of all blocks, not only of the dropping ones; arguments as for `prepare`."""

        def work(to: Retriever, _: slice) -> tuple[DropStage, ...]:
            own = None if cameras is None else cameras.to(to.device)
            return to.model.follow(images.to(to.device), own, prune)

        return self.spared("the encoder", 1, work, itemgetter(0))

    @torch.inference_mode()
    def match(self, encoding: Encoding, settings: QuerySettings) -> Match:
        """Shortlist by cosine, transport to every shortlisted candidate. encoding: one image.

        Of the settings only `shortlist`, `variant` and `transport` matter here.
        """

        def find(to: Retriever, _: slice) -> Shortlist:
            return to.index.search(_only(encoding.to(to.device))[0], settings.shortlist)

        short = self.spared("the shortlist", 1, find, itemgetter(0))
        # A distance of the released solver depends on which candidates share the call.
        whole = settings.transport.solver is Solver.RELEASED

        def work(to: Retriever, rows: slice) -> Transport:
            query_cls, query_patches = _only(encoding.to(to.device))
            indices = short.indices if whole else short.indices[rows]
            gallery = to.tokens.patches(indices)
            sides = marginals(query_cls, query_patches, to._cls(indices), gallery, settings.variant)
            return solve(ground_cost(query_patches, gallery), *sides, settings.transport)

        candidates = 1 if whole else len(short.indices)
        return Match(short, self.spared("the transport", candidates, work, Transport.join))

    def by_distance(self, match: Match, alpha: float) -> Ranking:
        """The shortlist ranked by D of Eq. 10."""
        short = match.shortlist
        return rank(short.indices, combined_distance(short.d_cos, match.transport.distance, alpha))

    @torch.inference_mode()
    def plan(self, encoding: Encoding, match: Match, place: int, settings: QuerySettings) -> TransportPlan:
        """The transport plan to the candidate at `place` of the shortlist."""
        index = int(match.shortlist.indices[place])

        def work(to: Retriever, _: slice) -> TransportPlan:
            query_patches = _only(encoding.to(to.device))[1]
            cost = ground_cost(query_patches, to.tokens.patches([index]))[0]
            return TransportPlan(
                gallery_index=index,
                plan=plan(cost, match.transport, place, settings.transport),
                cost=cost.float().cpu().numpy(),
                query_positions=encoding.positions[0].cpu().numpy(),
            )

        return self.spared("the transport", 1, work, itemgetter(0))

    @torch.inference_mode()
    def consolidate(self, encoding: Encoding, neighbors: np.ndarray, variant: Variant) -> Consolidation:
        """Eq. 11 to 13 with the memory rows `neighbors` (K,)."""

        def work(to: Retriever, _: slice) -> Consolidation:
            here = encoding.to(to.device)
            query_cls, query_patches = _only(here)
            return to.model.consolidate(
                query_cls,
                query_patches,
                here.positions[0],
                to._cls(neighbors),
                to.tokens.patches(neighbors),
                neighbors,
                variant,
            )

        return self.spared("the decoder", 1, work, itemgetter(0))

    @torch.inference_mode()
    def consolidate_sets(self, encoding: Encoding, sets: Sequence[np.ndarray], variant: Variant) -> np.ndarray:
        """(B, C) the features of `consolidate` for B sets of memory rows at once, to rounding."""

        def work(to: Retriever, some: slice) -> np.ndarray:
            query_cls, query_patches = _only(encoding.to(to.device))
            rows = np.unique(np.concatenate(sets[some]))
            member = torch.zeros(len(sets[some]), len(rows), dtype=torch.bool)
            for place, each in enumerate(sets[some]):
                member[place, np.searchsorted(rows, each)] = True
            features = to.model.consolidate_sets(
                query_cls, query_patches, to._cls(rows), to.tokens.patches(rows), member.to(to.device), variant
            )
            return features.float().cpu().numpy()

        return self.spared("the decoder", len(sets), work, np.concatenate)

    def by_feature(self, feature: np.ndarray) -> Ranking:
        """The whole gallery by Euclidean distance to a feature (C,) after the BNNeck, both L2-normalised."""
        return rank_by_feature(feature, self.memory.unit_features)

    @torch.inference_mode()
    def global_feature(self, encoding: Encoding) -> np.ndarray:
        """(C,) the encoder's own feature after the BNNeck, without consolidation."""

        def work(to: Retriever, _: slice) -> np.ndarray:
            return to.model.global_feature(encoding.tokens.to(to.device))[0].float().cpu().numpy()

        return self.spared("the global head", 1, work, itemgetter(0))

    def search(
        self, query: Tensor | EncoderState, settings: QuerySettings, cameras: Tensor | None = None
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

    def spared(
        self, what: str, rows: int, work: Callable[[Retriever, slice], _T], join: Callable[[Sequence[_T]], _T]
    ) -> _T:
        """`work` with this retriever on all rows at once; where the device runs out of memory without tokens that stay
        there, in parts, then `on_cpu`.

        what: is computed, in words.  work: some of the rows with the retriever it is given, to whose device it moves
        what it needs.  join: makes one result of those of consecutive rows. Raises NoMemoryLeftError.
        """

        def interrupted(some: slice) -> _T:
            checkpoint()
            return work(self, some)

        return OomFallback(what, self.device)(
            rows, interrupted, join, lambda: self.on_cpu.spared(what, rows, work, join), self.tokens.release
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
