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

from app.messages import toast_memory_warnings
from app.server.cache import RESULTS, cache_key, cached
from app.server.queues import MODEL_QUEUE, PAGE_QUEUE
from app.session.visitor import in_page_run
from fpc_core.config import MapSettings, PruneSettings, QuerySettings
from fpc_core.data.images import content_hash, to_tensor
from fpc_core.explain import lifelines
from fpc_core.explain.cards import QueryIdentity
from fpc_core.results import DropStage, EncoderState, Encoding, Match, QueryTrace, TransportPlan
from fpc_core.runtime.interruption import interruptible
from fpc_core.runtime.out_of_memory import collect_oom_events
from fpc_core.runtime.threads import limit_threads_on_small_machines
from fpc_core.workspace import Workspace

if TYPE_CHECKING:
    from fpc_core.explain.cam import PatchMap

_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class Query:
    """A query image at the model's input size and what is known about it. world: `Workspace.key`."""

    name: str
    image: np.ndarray
    subject: QueryIdentity
    world: str

    @cached_property
    def digest(self) -> str:
        """What caches know it by: the workspace it is searched in, its pixels and its camera."""
        return f"{self.world}-{content_hash(self.image.tobytes())}-{self.subject.camera}"


@cache_key.register
def _(query: Query) -> Hashable:
    return query.digest


@dataclass(frozen=True, eq=False)
class SearchResult:
    """A trace, seconds per stage as first computed, and the stages this run took from the cache."""

    trace: QueryTrace
    seconds: dict[str, float]
    reused: frozenset[str]


def search(workspace: Workspace, query: Query, settings: QuerySettings) -> SearchResult:
    """Run one query, taking from the cache what did not change."""
    began = time.perf_counter()
    with limit_threads_on_small_machines():
        matched = matching(workspace, query, settings)
        trace = run_in_model_queue(
            lambda: workspace.retriever.finish(matched.encoded.encoding, matched.match, settings)
        )
    stages = (*matched.encoded.stages, matched.stage)
    seconds = {stage.name: stage.seconds for stage in stages} | dict(trace.timings)
    return SearchResult(trace, seconds, frozenset(stage.name for stage in stages if stage.made_at < began))


def matching(workspace: Workspace, query: Query, settings: QuerySettings) -> MatchedQuery:
    """Encoding, shortlist and transport of a query: what no alpha and no K changes."""
    return _matched(workspace, query, _without_alpha_and_k(settings))


def plan(workspace: Workspace, query: Query, trace: QueryTrace, row: int) -> TransportPlan:
    """`Retriever.plan` of this query's trace to a shortlisted memory row: no alpha and no K changes it."""
    return _planned(workspace, query, _without_alpha_and_k(trace.settings), row, trace)


def _without_alpha_and_k(settings: QuerySettings) -> QuerySettings:
    """The same with any alpha and any K, for what neither changes."""
    return replace(settings, alpha=QuerySettings.alpha, neighbors=1)


@dataclass(frozen=True)
class _Stage:
    name: str
    seconds: float
    made_at: float = field(default_factory=time.perf_counter)


@dataclass(frozen=True, eq=False)
class EncodedQuery:
    encoding: Encoding
    stages: tuple[_Stage, ...]


@dataclass(frozen=True, eq=False)
class MatchedQuery:
    encoded: EncodedQuery
    match: Match
    stage: _Stage


@cached(RESULTS)
def _state(workspace: Workspace, query: Query, block: int) -> tuple[EncoderState, _Stage]:
    image, cameras = model_input(workspace, query)
    return _timed(
        "Encoder up to the first pruning layer",
        workspace.device,
        lambda: workspace.retriever.prepare(image, cameras, block),
    )


def model_input(workspace: Workspace, query: Query) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The image as the model takes it, and its camera where that is known and means something."""
    camera = query.subject.camera
    cameras = None if camera is None or not workspace.dataset.uses_cameras else torch.tensor([camera])
    return to_tensor([query.image], workspace.retriever.model.config), cameras


@cached(RESULTS)
def _encoded(workspace: Workspace, query: Query, prune: PruneSettings) -> EncodedQuery:
    state, first = _state(workspace, query, prune.blocks[0])
    encoding, rest = _timed("Encoder from there on", workspace.device, lambda: workspace.retriever.encode(state, prune))
    return EncodedQuery(encoding, (first, rest))


@cached(RESULTS)
def _matched(workspace: Workspace, query: Query, settings: QuerySettings) -> MatchedQuery:
    encoded = _encoded(workspace, query, settings.prune)
    match, stage = _timed(
        "Shortlist + EMD", workspace.device, lambda: workspace.retriever.match(encoded.encoding, settings)
    )
    return MatchedQuery(encoded, match, stage)


@cached(RESULTS)
def _planned(
    workspace: Workspace, query: Query, settings: QuerySettings, row: int, _trace: QueryTrace
) -> TransportPlan:
    place = _trace.match.shortlist.position(row)
    return run_in_model_queue(lambda: workspace.retriever.plan(_trace.encoding, _trace.match, place, settings))


@cached(RESULTS)
def attention_per_block(workspace: Workspace, query: Query, prune: PruneSettings) -> tuple[DropStage, ...]:
    """`[cls]` attention and survivors of all blocks."""
    image, cameras = model_input(workspace, query)
    return run_in_model_queue(lambda: workspace.retriever.trace_blocks(image, cameras, prune))


def drop_block_per_keep_rate(
    workspace: Workspace, query: Query, prune: PruneSettings, keep_rates: tuple[float, ...]
) -> np.ndarray:
    """(R, N): the block in which every patch falls at each keep rate. Does not depend on the keep rate of `prune`."""
    return _drop_block_per_keep_rate(workspace, query, replace(prune, keep_rate=1.0), keep_rates)


@cached(RESULTS)
def _drop_block_per_keep_rate(
    workspace: Workspace, query: Query, prune: PruneSettings, keep_rates: tuple[float, ...]
) -> np.ndarray:
    state, _ = _state(workspace, query, prune.blocks[0])
    return run_in_model_queue(
        lambda: lifelines.falls(lambda each: workspace.retriever.encode(state, each), prune, keep_rates)
    )


@cached(RESULTS)
def decoder_map(
    workspace: Workspace, query: Query, _trace: QueryTrace, settings: QuerySettings, how: MapSettings
) -> PatchMap:
    """`cam.decoder_map` of the trace that this query has with these settings."""
    from fpc_core.explain import cam  # its libraries take two seconds to import: not before the first ranking is seen

    return run_in_model_queue(lambda: cam.decoder_map(workspace.retriever, _trace, how))


@cached(RESULTS)
def encoder_map(workspace: Workspace, query: Query, prune: PruneSettings, how: MapSettings) -> PatchMap:
    """`cam.encoder_map` of this query."""
    from fpc_core.explain import cam

    state, _ = _state(workspace, query, prune.blocks[0])
    return run_in_model_queue(lambda: cam.encoder_map(workspace.retriever, state, prune, how))


def run_in_model_queue(work: Callable[[], _T]) -> _T:
    """What the model computes for a visitor: in turns; said on the page where a device had no memory left for it."""
    with (
        PAGE_QUEUE.release_while(),
        MODEL_QUEUE.slot(),
        interruptible(MODEL_QUEUE.take_turns),
        collect_oom_events() as heard,
    ):
        result = work()
    if in_page_run():
        toast_memory_warnings(heard)
    return result


def _timed(name: str, device: torch.device, work: Callable[[], _T]) -> tuple[_T, _Stage]:
    def timed() -> tuple[_T, _Stage]:
        start = time.perf_counter()
        result = work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return result, _Stage(name, time.perf_counter() - start)

    return run_in_model_queue(timed)
