"""The stages of a search, each kept for the next move.

An alpha or K move finds encoder and transport here and recomputes neither.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch

from app.messages import shortages_told
from app.server.cache import RESULTS, kept, known_by
from app.server.queues import GATE, PAGES
from app.session.visitor import on_a_page
from fpc_core.config import MapSettings, PruneSettings, QuerySettings
from fpc_core.data.images import content_hash, to_tensor
from fpc_core.explain import lifelines
from fpc_core.explain.cards import Subject
from fpc_core.results import DropStage, EncoderState, Encoding, Match, QueryTrace, TransportPlan
from fpc_core.runtime.out_of_memory import shortages
from fpc_core.runtime.threads import sparing_few_cores
from fpc_core.workspace import Workspace

if TYPE_CHECKING:
    from fpc_core.explain.cam import PatchMap

_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class Query:
    """A query image at the model's input size and what is known about it. world: `Workspace.key`."""

    name: str
    image: np.ndarray
    subject: Subject
    world: str

    @cached_property
    def digest(self) -> str:
        """What caches know it by: the workspace it is searched in, its pixels and its camera."""
        return f"{self.world}-{content_hash(self.image.tobytes())}-{self.subject.camera}"


@known_by.register
def _(query: Query) -> Hashable:
    return query.digest


@dataclass(frozen=True, eq=False)
class Found:
    """A trace, seconds per stage as first computed, and the stages this run took from the cache."""

    trace: QueryTrace
    seconds: dict[str, float]
    reused: frozenset[str]


def search(space: Workspace, query: Query, settings: QuerySettings) -> Found:
    """Run one query, taking from the cache what did not change."""
    began = time.perf_counter()
    with sparing_few_cores():
        matched = matching(space, query, settings)
        trace = computed(lambda: space.retriever.finish(matched.encoded.encoding, matched.match, settings))
    stages = (*matched.encoded.stages, matched.stage)
    seconds = {stage.name: stage.seconds for stage in stages} | dict(trace.timings)
    return Found(trace, seconds, frozenset(stage.name for stage in stages if stage.made_at < began))


def matching(space: Workspace, query: Query, settings: QuerySettings) -> Matched:
    """Encoding, shortlist and transport of a query: what no alpha and no K changes."""
    return _matched(space, query, _of_no_dial(settings))


def plan(space: Workspace, query: Query, trace: QueryTrace, row: int) -> TransportPlan:
    """`Retriever.plan` of this query's trace to a shortlisted memory row: no alpha and no K changes it."""
    return _planned(space, query, _of_no_dial(trace.settings), row, trace)


def _of_no_dial(settings: QuerySettings) -> QuerySettings:
    """The same with any alpha and any K, for what neither changes."""
    return replace(settings, alpha=QuerySettings.alpha, neighbors=1)


@dataclass(frozen=True)
class _Stage:
    name: str
    seconds: float
    made_at: float = field(default_factory=time.perf_counter)


@dataclass(frozen=True, eq=False)
class _Encoded:
    encoding: Encoding
    stages: tuple[_Stage, ...]


@dataclass(frozen=True, eq=False)
class Matched:
    encoded: _Encoded
    match: Match
    stage: _Stage


@kept(RESULTS)
def _state(space: Workspace, query: Query, block: int) -> tuple[EncoderState, _Stage]:
    image, cameras = model_input(space, query)
    return _timed("encode up to the first drop", space.device, lambda: space.retriever.prepare(image, cameras, block))


def model_input(space: Workspace, query: Query) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The image as the model takes it, and its camera where that is known and means something."""
    camera = query.subject.camera
    cameras = None if camera is None or not space.dataset.uses_cameras else torch.tensor([camera])
    return to_tensor([query.image], space.retriever.model.config), cameras


@kept(RESULTS)
def _encoded(space: Workspace, query: Query, prune: PruneSettings) -> _Encoded:
    state, first = _state(space, query, prune.blocks[0])
    encoding, rest = _timed("encode the rest", space.device, lambda: space.retriever.encode(state, prune))
    return _Encoded(encoding, (first, rest))


@kept(RESULTS)
def _matched(space: Workspace, query: Query, settings: QuerySettings) -> Matched:
    encoded = _encoded(space, query, settings.prune)
    match, stage = _timed(
        "shortlist and transport", space.device, lambda: space.retriever.match(encoded.encoding, settings)
    )
    return Matched(encoded, match, stage)


@kept(RESULTS)
def _planned(space: Workspace, query: Query, settings: QuerySettings, row: int, _trace: QueryTrace) -> TransportPlan:
    place = _trace.match.shortlist.place(row)
    return computed(lambda: space.retriever.plan(_trace.encoding, _trace.match, place, settings))


@kept(RESULTS)
def followed(space: Workspace, query: Query, prune: PruneSettings) -> tuple[DropStage, ...]:
    """`[cls]` attention and survivors of all blocks."""
    image, cameras = model_input(space, query)
    return computed(lambda: space.retriever.follow(image, cameras, prune))


def falls(space: Workspace, query: Query, prune: PruneSettings, keep_rates: tuple[float, ...]) -> np.ndarray:
    """(R, N): the block in which every patch falls at each keep rate. Does not depend on the keep rate of `prune`."""
    return _falls(space, query, replace(prune, keep_rate=1.0), keep_rates)


@kept(RESULTS)
def _falls(space: Workspace, query: Query, prune: PruneSettings, keep_rates: tuple[float, ...]) -> np.ndarray:
    state, _ = _state(space, query, prune.blocks[0])
    return computed(lambda: lifelines.falls(lambda each: space.retriever.encode(state, each), prune, keep_rates))


@kept(RESULTS)
def decoder_map(
    space: Workspace, query: Query, _trace: QueryTrace, settings: QuerySettings, how: MapSettings
) -> PatchMap:
    """`cam.decoder_map` of the trace that this query has with these settings."""
    from fpc_core.explain import cam  # its libraries take two seconds to import: not before the first ranking is seen

    return computed(lambda: cam.decoder_map(space.retriever, _trace, how))


@kept(RESULTS)
def encoder_map(space: Workspace, query: Query, prune: PruneSettings, how: MapSettings) -> PatchMap:
    """`cam.encoder_map` of this query."""
    from fpc_core.explain import cam

    state, _ = _state(space, query, prune.blocks[0])
    return computed(lambda: cam.encoder_map(space.retriever, state, prune, how))


def computed(work: Callable[[], _T]) -> _T:
    """What the model computes for a visitor: in turn, and said on the page where a device had no memory left for it."""
    with PAGES.left(), GATE.passed(), shortages() as heard:
        result = work()
    if on_a_page():
        shortages_told(heard)
    return result


def _timed(name: str, device: torch.device, work: Callable[[], _T]) -> tuple[_T, _Stage]:
    def timed() -> tuple[_T, _Stage]:
        start = time.perf_counter()
        result = work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return result, _Stage(name, time.perf_counter() - start)

    return computed(timed)
