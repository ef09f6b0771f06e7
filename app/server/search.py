"""Cached stages of a search, so that a new alpha or K reuses the results of encoder and transport."""

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
from fpc_core.explain import heatmaps, lifelines
from fpc_core.explain.cards import QueryIdentity
from fpc_core.results import DropStage, EncoderState, Encoding, Match, QueryTrace, TransportPlan
from fpc_core.runtime.interruption import interruptible
from fpc_core.runtime.out_of_memory import collect_oom_events
from fpc_core.runtime.threads import limit_threads_on_small_machines
from fpc_core.workspace import Workspace

if TYPE_CHECKING:
    from fpc_core.explain.heatmaps import PatchMap

_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class Query:
    """A query image at the model's input size.

    Attributes:
        name: Path of the image in the dataset, or the name of an uploaded image.
        image: (H, W, 3) uint8.
        subject: Identity and camera of the person, as far as they are known.
        workspace_key: `Workspace.key` of the workspace to search in.
    """

    name: str
    image: np.ndarray
    subject: QueryIdentity
    workspace_key: str

    @cached_property
    def digest(self) -> str:
        """Return the cache key, made of workspace, pixels and camera."""
        own = self.subject.path.as_posix() if self.subject.path else ""
        return f"{self.workspace_key}-{content_hash(self.image.tobytes())}-{self.subject.camera}{own}"


@cache_key.register
def _(query: Query) -> Hashable:
    return query.digest


@dataclass(frozen=True, eq=False)
class SearchResult:
    """Result of a search.

    Attributes:
        trace: Results of all stages.
        seconds: Duration of each stage when it was computed, by name.
        reused: Names of the stages whose results came from the cache.
    """

    trace: QueryTrace
    seconds: dict[str, float]
    reused: frozenset[str]


def search(workspace: Workspace, query: Query, settings: QuerySettings) -> SearchResult:
    """Search the gallery for a query, reusing cached stages.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        settings: Query settings.
    """
    began = time.perf_counter()
    with limit_threads_on_small_machines():
        matched = matching(workspace, query, settings)
        trace = run_in_model_queue(
            lambda: workspace.retriever_for(query.subject.path).finish(
                matched.encoded.encoding, matched.match, settings
            )
        )
    stages = (*matched.encoded.stages, matched.stage)
    seconds = {stage.name: stage.seconds for stage in stages} | dict(trace.timings)
    return SearchResult(trace, seconds, frozenset(stage.name for stage in stages if stage.computed_at < began))


def matching(workspace: Workspace, query: Query, settings: QuerySettings) -> MatchedQuery:
    """Return the encoding, shortlist and transport of a query. They depend on neither alpha nor K.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        settings: Query settings; alpha and K are ignored.
    """
    return _matched(workspace, query, _without_alpha_and_k(settings))


def encoding(workspace: Workspace, query: Query, prune: PruneSettings) -> Encoding:
    """Return the encoding of a query.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        prune: Pruning settings.
    """
    with limit_threads_on_small_machines():
        return _encoded(workspace, query, prune).encoding


def plan(workspace: Workspace, query: Query, trace: QueryTrace, row: int) -> TransportPlan:
    """Return the transport plan between the query and a shortlisted gallery row. It depends on neither alpha nor K.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        trace: Results of the search.
        row: Gallery row of a shortlisted image.
    """
    return _planned(workspace, query, _without_alpha_and_k(trace.settings), row, trace)


def _without_alpha_and_k(settings: QuerySettings) -> QuerySettings:
    """Return the settings with the default alpha and K = 1, as a cache key for results that depend on neither."""
    return replace(settings, alpha=QuerySettings.alpha, neighbors=1)


@dataclass(frozen=True)
class _Stage:
    name: str
    seconds: float
    computed_at: float = field(default_factory=time.perf_counter)


@dataclass(frozen=True, eq=False)
class EncodedQuery:
    """Encoding of a query and the two stages that computed it."""

    encoding: Encoding
    stages: tuple[_Stage, ...]


@dataclass(frozen=True, eq=False)
class MatchedQuery:
    """Encoding, shortlist and transport of a query, and the timing of the matching stage."""

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
    """Return the model's inputs: the image tensor, and the camera or None if it is unknown or not used.

    Args:
        workspace: Workspace of the query.
        query: Query image.
    """
    camera = query.subject.camera
    cameras = None if camera is None or not workspace.dataset.uses_cameras else torch.tensor([camera])
    return to_tensor([query.image], workspace.retriever.model.config), cameras


@cached(RESULTS)
def _encoded(workspace: Workspace, query: Query, prune: PruneSettings) -> EncodedQuery:
    state, first = _state(workspace, query, prune.blocks[0])
    encoding, rest = _timed(
        "Encoder from that layer on", workspace.device, lambda: workspace.retriever.encode(state, prune)
    )
    return EncodedQuery(encoding, (first, rest))


@cached(RESULTS)
def _matched(workspace: Workspace, query: Query, settings: QuerySettings) -> MatchedQuery:
    encoded = _encoded(workspace, query, settings.prune)
    match, stage = _timed(
        "Shortlist + EMD",
        workspace.device,
        lambda: workspace.retriever_for(query.subject.path).match(encoded.encoding, settings),
    )
    return MatchedQuery(encoded, match, stage)


@cached(RESULTS)
def _planned(
    workspace: Workspace, query: Query, settings: QuerySettings, row: int, _trace: QueryTrace
) -> TransportPlan:
    position = _trace.match.shortlist.position(row)
    return run_in_model_queue(lambda: workspace.retriever.plan(_trace.encoding, _trace.match, position, settings))


@cached(RESULTS)
def attention_per_block(workspace: Workspace, query: Query, prune: PruneSettings) -> tuple[DropStage, ...]:
    """Return the `[cls]` attention and the surviving patches of every encoder block.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        prune: Pruning settings.
    """
    image, cameras = model_input(workspace, query)
    return run_in_model_queue(lambda: workspace.retriever.trace_blocks(image, cameras, prune))


def drop_block_per_keep_rate(
    workspace: Workspace, query: Query, prune: PruneSettings, keep_rates: tuple[float, ...]
) -> np.ndarray:
    """Return the block that drops each patch at each keep rate, with shape (keep rates, patches).

    Args:
        workspace: Workspace of the query.
        query: Query image.
        prune: Pruning settings; the keep rate is ignored.
        keep_rates: Keep rates to encode with.
    """
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
    workspace: Workspace, query: Query, _trace: QueryTrace, settings: QuerySettings, maps: MapSettings
) -> PatchMap:
    """Return `heatmaps.decoder_map` for the trace of a query under these settings.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        _trace: Results of the search, which the other arguments determine.
        settings: Query settings.
        maps: Settings of the heat map.
    """
    return run_in_model_queue(lambda: heatmaps.decoder_map(workspace.retriever, _trace, maps))


@cached(RESULTS)
def encoder_map(workspace: Workspace, query: Query, prune: PruneSettings, maps: MapSettings) -> PatchMap:
    """Return `heatmaps.encoder_map` for a query.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        prune: Pruning settings.
        maps: Settings of the heat map.
    """
    state, _ = _state(workspace, query, prune.blocks[0])
    return run_in_model_queue(lambda: heatmaps.encoder_map(workspace.retriever, state, prune, maps))


def run_in_model_queue(work: Callable[[], _T]) -> _T:
    """Run a computation in the model queue and return its result, with a toast if the device ran out of memory."""
    with (
        PAGE_QUEUE.release_while(),
        MODEL_QUEUE.slot(),
        interruptible(MODEL_QUEUE.take_turns),
        collect_oom_events() as messages,
    ):
        result = work()
    if in_page_run():
        toast_memory_warnings(messages)
    return result


def _timed(name: str, device: torch.device, work: Callable[[], _T]) -> tuple[_T, _Stage]:
    def timed() -> tuple[_T, _Stage]:
        start = time.perf_counter()
        result = work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return result, _Stage(name, time.perf_counter() - start)

    return run_in_model_queue(timed)
