"""Search: from a query image to the ranked gallery.

The state of a `Retriever` is the model, the gallery memory, its tokens cached on the device, and the shortlist index.
Each stage takes the result of the previous one, so a caller can reuse the results that a changed setting does not
affect:

    prepare      image -> EncoderState                    independent of the keep rate
    encode       EncoderState, prune -> Encoding
    match        Encoding, settings -> Match              independent of alpha and K
    consolidate  Encoding, neighbours -> Consolidation    depends on the set of neighbours
    search       image or EncoderState -> QueryTrace      runs all stages

A stage that runs out of memory is computed in smaller parts, then on the CPU (`runtime/out_of_memory.py`).
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property

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
from fpc_core.runtime.out_of_memory import out_of_memory_fallback


class Retriever:
    """Searches a gallery memory with the model that it was built with."""

    def __init__(self, model: FPC, memory: GalleryMemory, index: ShortlistIndex | None = None) -> None:
        """Set up searches with a model and a gallery memory.

        Args:
            model: Model in eval mode, on the device to compute on.
            memory: Gallery memory built with the same weights.
            index: Index of the gallery's `[cls]` tokens that finds shortlists; a `TorchIndex` by default.

        Raises:
            ValueError: Model and gallery memory have different channels or patch grids.
        """
        stored = (memory.cls.shape[1], *memory.grid)
        expected = (model.config.width, *model.config.grid)
        if stored != expected:
            raise ValueError(
                f"the gallery memory has (channels, rows, columns) {stored}, the model {expected}; "
                "build it again with these weights: python -m fpc_core memory build"
            )
        self.model = model
        self.memory = memory
        self.index = index or TorchIndex(memory.cls, lambda: memory.unit_cls)
        self.device = next(model.parameters()).device
        self.tokens = DeviceTokenCache(memory, self.device)
        self._whole = self
        self._left_out: int | None = None

    def without(self, row: int | None) -> Retriever:
        """Return a retriever that excludes one gallery image, for a query that is itself in the gallery.

        Args:
            row: Row of the gallery image; None to exclude none.
        """
        if row == self._left_out:
            return self
        other = copy.copy(self._whole)
        other.__dict__.pop("on_cpu", None)
        other._left_out = row
        return other

    @cached_property
    def on_cpu(self) -> Retriever:
        """The same retriever on the CPU, or this one if it is on the CPU already."""
        if self._left_out is not None:
            return self._whole.on_cpu.without(self._left_out)
        return self if self.device.type == "cpu" else Retriever(self.model.copy_on_cpu(), self.memory, self.index)

    def free_memory(self) -> str:
        """Release the gallery tokens cached on the device, and return a notice; "" if nothing was released."""
        return self.tokens.release()

    @torch.inference_mode()
    @out_of_memory_fallback("the encoder", split=("images", "cameras"), join=EncoderState.join)
    def prepare(self, images: Tensor, cameras: Tensor | None = None, block: int = 3) -> EncoderState:
        """Run the encoder up to the attention of its first dropping block.

        Args:
            images: (B, 3, H, W) normalised images.
            cameras: (B,) int64 cameras of the images, or None for the mean camera embedding.
            block: Index of the first dropping block.
        """
        cameras = None if cameras is None else cameras.to(self.device)
        return self.model.encoder.prefix(images.to(self.device), cameras, block)

    @torch.inference_mode()
    @out_of_memory_fallback("the encoder", split=("state",), join=Encoding.join)
    def encode(self, state: EncoderState, prune: PruneSettings) -> Encoding:
        """Drop patches and run the remaining blocks (Sec. 3.1).

        Args:
            state: State from `prepare`.
            prune: Settings of dropping patches; the first dropping block must be that of the state.
        """
        return self.model.encoder.finish(state.to(self.device), prune)

    @torch.inference_mode()
    @out_of_memory_fallback("the encoder")
    def trace_blocks(self, images: Tensor, cameras: Tensor | None, prune: PruneSettings) -> tuple[DropStage, ...]:
        """Return the `[cls]` attention and the kept patches of every block.

        Args:
            images: (B, 3, H, W) normalised images.
            cameras: (B,) int64 cameras of the images, or None for the mean camera embedding.
            prune: Settings of dropping patches.
        """
        cameras = None if cameras is None else cameras.to(self.device)
        return self.model.trace_blocks(images.to(self.device), cameras, prune)

    def match(self, encoding: Encoding, settings: QuerySettings) -> Match:
        """Find the shortlist by cosine (Eq. 4) and solve the transport to each of its images (Eq. 5).

        Args:
            encoding: Encoding of one image.
            settings: Settings of the search, of which only `shortlist`, `variant` and `transport` are used.
        """
        shortlist = self._shortlist(encoding, settings.shortlist)
        # With the released solver, a distance depends on the other candidates in the same call.
        undivided = settings.transport.solver is Solver.RELEASED
        transport = self._transport_undivided if undivided else self._transport
        return Match(shortlist, transport(encoding, shortlist.indices, settings))

    @torch.inference_mode()
    @out_of_memory_fallback("the shortlist")
    def _shortlist(self, encoding: Encoding, size: int) -> Shortlist:
        query = _only(encoding.to(self.device))[0]
        if self._left_out is None:
            return self.index.search(query, size)
        larger = self.index.search(query, size + 1)
        others = larger.indices != self._left_out
        return Shortlist(larger.indices[others][:size], larger.d_cos[others][:size])

    def _solve(self, encoding: Encoding, indices: np.ndarray, settings: QuerySettings) -> Transport:
        query_cls, query_patches = _only(encoding.to(self.device))
        gallery = self.tokens.patches(indices)
        solver = settings.transport.solver
        sides = marginals(query_cls, query_patches, self._cls(indices), gallery, settings.variant, solver)
        return solve(ground_cost(query_patches, gallery), *sides, settings.transport)

    _transport = torch.inference_mode()(
        out_of_memory_fallback("the transport", split=("indices",), join=Transport.join)(_solve)
    )
    _transport_undivided = torch.inference_mode()(out_of_memory_fallback("the transport")(_solve))

    def by_distance(self, match: Match, alpha: float) -> Ranking:
        """Rank the shortlist by D (Eq. 10).

        Args:
            match: Shortlist and transport of the query.
            alpha: Weight of D_EMD in D.
        """
        shortlist = match.shortlist
        return rank(shortlist.indices, combined_distance(shortlist.d_cos, match.transport.distance, alpha))

    @torch.inference_mode()
    @out_of_memory_fallback("the transport")
    def plan(self, encoding: Encoding, match: Match, position: int, settings: QuerySettings) -> TransportPlan:
        """Return the transport plan to one candidate.

        Args:
            encoding: Encoding of the query.
            match: Shortlist and transport of the query.
            position: Position of the candidate on the shortlist.
            settings: Settings with which the match was computed.
        """
        index = int(match.shortlist.indices[position])
        query_patches = _only(encoding.to(self.device))[1]
        cost = ground_cost(query_patches, self.tokens.patches([index]))[0]
        return TransportPlan(
            gallery_index=index,
            plan=plan(cost, match.transport, position, settings.transport),
            cost=cost.float().cpu().numpy(),
            query_positions=encoding.positions[0].cpu().numpy(),
        )

    @torch.inference_mode()
    @out_of_memory_fallback("the decoder")
    def consolidate(self, encoding: Encoding, neighbors: np.ndarray, variant: Variant) -> Consolidation:
        """Consolidate a query with its neighbours (Eq. 11 to 13).

        Args:
            encoding: Encoding of the query.
            neighbors: (K,) rows of the neighbours in the gallery memory.
            variant: Whether the decoder also reads the query (PAPER) or only its neighbours (RELEASED).
        """
        encoding = encoding.to(self.device)
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
    @out_of_memory_fallback("the decoder", split=("sets",), join=np.concatenate)
    def consolidate_sets(self, encoding: Encoding, sets: Sequence[np.ndarray], variant: Variant) -> np.ndarray:
        """Return the consolidated features for many sets of neighbours at once.

        They equal those of `consolidate` up to rounding.

        Args:
            encoding: Encoding of the query.
            sets: B arrays of rows of the gallery memory.
            variant: Whether the decoder also reads the query (PAPER) or only its neighbours (RELEASED).

        Returns:
            (B, C) float32 features.
        """
        query_cls, query_patches = _only(encoding.to(self.device))
        rows = np.unique(np.concatenate(sets))
        member = torch.zeros(len(sets), len(rows), dtype=torch.bool)
        for index, neighbors in enumerate(sets):
            member[index, np.searchsorted(rows, neighbors)] = True
        features = self.model.consolidate_sets(
            query_cls, query_patches, self._cls(rows), self.tokens.patches(rows), member.to(self.device), variant
        )
        return features.float().cpu().numpy()

    def by_feature(self, feature: np.ndarray) -> Ranking:
        """Rank the whole gallery by the Euclidean distance of L2-normalised features.

        The ranking is sorted when it is read; `Ranking.first` and `Ranking.pairs` sort no more than needed.

        Args:
            feature: (C,) feature of the query after the BNNeck, which need not be normalised.
        """
        return rank_by_feature(feature, self.memory.unit_features, self._left_out)

    @torch.inference_mode()
    @out_of_memory_fallback("the global head")
    def global_feature(self, encoding: Encoding) -> np.ndarray:
        """Return the (C,) feature of the encoder after the BNNeck, without consolidation."""
        return self.model.global_feature(encoding.tokens.to(self.device))[0].float().cpu().numpy()

    def search(
        self, query: Tensor | EncoderState, settings: QuerySettings, cameras: Tensor | None = None
    ) -> QueryTrace:
        """Run every stage on one query.

        Args:
            query: (1, 3, H, W) normalised image, or the state that `prepare` returns for it.
            settings: Settings of all stages.
            cameras: (1,) int64 camera, or None for the mean camera embedding; ignored for a prepared query.
        """
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

    def warm_up(self) -> None:
        """Search for a blank image once, so that later timings do not include compilation and device start-up."""
        size = min(QuerySettings.shortlist, len(self.memory))
        settings = QuerySettings(shortlist=size, neighbors=min(QuerySettings.neighbors, size))
        self.search(torch.zeros(1, 3, *self.model.config.image_size), settings)

    def finish(
        self, encoding: Encoding, match: Match, settings: QuerySettings, watch: _Stopwatch | None = None
    ) -> QueryTrace:
        """Run the stages after the matching, the only ones that depend on alpha and K.

        Args:
            encoding: Encoding of the query.
            match: Shortlist and transport of the query.
            settings: Settings of all stages.
            watch: Stopwatch with the timings of the earlier stages.
        """
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
    """Return the `[cls]` token (C,) and the patches (M, C) of an encoding of one image."""
    if len(encoding.tokens) != 1:
        raise ValueError(f"encoding must be of one query, got {len(encoding.tokens)} queries; slice it first")
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
