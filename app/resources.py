"""The only file with caches: workspace, pictures, and every stage of a search that a move can reuse.

Everything is keyed by content: two visitors with the same image and settings share the result, and nothing of one
visitor's view ever reaches another. An alpha or K move finds encoder and transport here and recomputes neither.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st
import torch

from app.background import Job, Steps, Worker
from app.components.heat import heat_data
from app.components.transport import pair_data
from app.live import grid_data, view_key
from app.runs import Run
from app.state import keep_rates
from fpc_core.config import MapSettings, PruneSettings, QuerySettings, TransportSettings, Variant
from fpc_core.data.datasets import Dataset, ImageRecord
from fpc_core.data.images import content_hash, resize_image, to_tensor
from fpc_core.data.pictures import data_uri
from fpc_core.evaluation.report_tables import Setting, tables_of
from fpc_core.evaluation.store import ResultStore
from fpc_core.evaluation.sweep import SweepGrid, SweepTask
from fpc_core.evaluation.task import EvaluationTask, evaluation_task
from fpc_core.explain import lifelines
from fpc_core.explain.strips import Subject
from fpc_core.figures.recipe import FigureRecipe
from fpc_core.results import DropStage, EncoderState, Encoding, Match, QueryTrace
from fpc_core.workspace import Places, Workspace, cache_folder, keep_to_one_core, open_workspace

if TYPE_CHECKING:
    from fpc_core.explain.cam import PatchMap

FEW_CORES = (os.cpu_count() or 1) <= 2  # there a sweep keeps to one of them, so that the page stays quick


@dataclass(frozen=True, eq=False)
class Query:
    """A query image at the model's input size and what is known about it."""

    name: str
    image: np.ndarray
    subject: Subject

    @cached_property
    def digest(self) -> str:
        """What caches know it by: its pixels and its camera."""
        return f"{content_hash(self.image.tobytes())}-{self.subject.camera}"


@dataclass(frozen=True, eq=False)
class Found:
    """A trace, seconds per stage as first computed, and the stages this run took from the cache."""

    trace: QueryTrace
    seconds: dict[str, float]
    reused: frozenset[str]


@st.cache_resource(show_spinner="Opening weights and gallery memory …")
def workspace(places: Places) -> Workspace:
    return open_workspace(places)


def search(space: Workspace, query: Query, settings: QuerySettings) -> Found:
    """Run one query, taking from the cache what did not change."""
    began = time.perf_counter()
    matched = _matching(space, query, settings)
    trace = space.retriever.finish(matched.encoded.encoding, matched.match, settings)
    stages = (*matched.encoded.stages, matched.stage)
    seconds = {stage.name: stage.seconds for stage in stages} | dict(trace.timings)
    return Found(trace, seconds, frozenset(stage.name for stage in stages if stage.made_at < began))


def keep_rate_grid(space: Workspace, query: Query, settings: QuerySettings, visitor: str, show: int) -> Job:
    """The background job that ends in `live.grid_data` of this query at every keep rate of the dial.

    What it computes lies in the caches of `search` as well: a keep rate of the grid is answered from there.
    visitor: who asks; a visitor's next query ends this one.  show: see `live.match_data`.
    """
    key = view_key(query.digest, settings)

    def steps() -> Steps:
        matched = {}
        for moved in _moved(settings):
            found = _matching(space, query, moved)
            matched[moved.prune.keep_rate] = (found.encoded.encoding, found.match)
            yield
        records = space.retriever.memory.records
        data = grid_data(key, matched, records, query.subject, space.dataset.uses_cameras, show)
        rows = {row for _, match in data["matches"] for row in match["in_sight"]}
        return data | {"pictures": {f"g{row}": thumbnail(space, records[row]) for row in sorted(rows)}}

    return _worker("keep rates", one_core=True).want(f"{visitor} grid", f"{key} {show}", len(keep_rates()), steps)


def keep_rate_pairs(space: Workspace, query: Query, settings: QuerySettings, visitor: str, row: int) -> Job:
    """The background job that ends in the transport to memory row `row` at every keep rate that shortlists it.

    Its result: {key, pairs: [[keep rate, `pair_data` and its row], ...]}.
    """
    key = view_key(query.digest, settings)

    def steps() -> Steps:
        pairs = []
        for moved in _moved(settings):
            found = _matching(space, query, moved)
            for place in np.flatnonzero(found.match.shortlist.indices == row).tolist():
                plan = space.retriever.plan(found.encoded.encoding, found.match, place, moved)
                pair = pair_data(plan, found.match.transport, place) | {"row": row}
                pairs.append([moved.prune.keep_rate, pair])
            yield
        return {"key": key, "pairs": pairs}

    return _worker("keep rates", one_core=True).want(f"{visitor} pairs", f"{key} row {row}", len(keep_rates()), steps)


def sweep(
    space: Workspace, queries: tuple[str, ...], grid: SweepGrid, settings: QuerySettings
) -> tuple[SweepTask, Run]:
    """The sweep over these queries of the data, by path; the same one for every visitor who asks for it.

    Raises ValueError where nothing can be swept (see `SweepTask`).
    """
    return _sweep(space, space.places, cache_folder() / "results", queries, grid, settings)


def evaluation(space: Workspace, names: tuple[str, ...], settings: QuerySettings) -> tuple[EvaluationTask, Run]:
    """The evaluation of these tables (see `report_tables.NAMES`); the same one for every visitor who asks for it.

    Raises ValueError where nothing can be scored (see `evaluation_task`).
    """
    return _evaluation(space, space.places, cache_folder() / "results", names, settings)


def figure_preview(space: Workspace, recipe: FigureRecipe) -> bytes:
    """The figure of a recipe as PNG at 200 dpi. Raises RecipeError where it does not fit this data."""
    return _figure_preview(space, space.places, recipe)


def figure_bundle(space: Workspace, recipe: FigureRecipe) -> bytes:
    """The zip of `figures.render.bundle`."""
    return _figure_bundle(space, space.places, recipe)


def heat_key(query: Query, settings: QuerySettings, how: MapSettings, chosen: int | None) -> str:
    """What heat maps belong to: the query, all settings, and the neighbour that the query is compared with."""
    return hashlib.sha256(f"{query.digest} {settings} {how} {chosen}".encode()).hexdigest()[:16]


def heat(space: Workspace, query: Query, found: Found, how: MapSettings, chosen: int | None, visitor: str) -> Job:
    """The background job that ends in {key, parts: {name: `heat_data`}}, its key `heat_key`; a next view ends it.

    neighbors, query: the decoder's map of both, on one scale.  encoder: by the same method, which query patches make
    the query similar to the memory row `chosen`; not there without one.
    """
    trace = found.trace
    key = heat_key(query, trace.settings, how, chosen)

    def steps() -> Steps:
        yield
        decoder = _decoder_map(space, trace, query.digest, trace.settings, how)
        parts = {
            "neighbors": heat_data(decoder.neighbor_grids, decoder.peak),
            "query": heat_data(decoder.query_grid, decoder.peak),
        }
        if chosen is not None:
            asked = MapSettings(how.method, index=chosen, relative=how.relative)
            encoder = _encoder_map(space, query, query.digest, trace.settings.prune, asked)
            parts["encoder"] = heat_data(encoder.query_grid, encoder.peak)
        return {"key": key, "parts": parts}

    return _worker("keep rates", one_core=True).want(f"{visitor} heat", f"heat {key}", 1, steps)


def followed(space: Workspace, query: Query, prune: PruneSettings) -> tuple[DropStage, ...]:
    """`[cls]` attention and survivors of all blocks."""
    return _followed(space, query, query.digest, prune)


def falls(space: Workspace, query: Query, prune: PruneSettings, keep_rates: tuple[float, ...]) -> np.ndarray:
    """(R, N): the block in which every patch falls at each keep rate. Does not depend on the keep rate of `prune`."""
    return _falls(space, query, query.digest, replace(prune, keep_rate=1.0), keep_rates)


def picture(space: Workspace, record: ImageRecord) -> np.ndarray:
    """An image of the dataset at the model's input size."""
    return _picture(space.dataset, record, str(space.dataset.root), space.retriever.model.config.image_size)


def thumbnail(space: Workspace, record: ImageRecord) -> str:
    """The same as a data URI."""
    return _thumbnail(space.dataset, record, str(space.dataset.root), space.retriever.model.config.image_size)


@st.cache_resource(max_entries=512, show_spinner=False)
def _picture(_dataset: Dataset, record: ImageRecord, root: str, size: tuple[int, int]) -> np.ndarray:
    image = resize_image(_dataset.read(record), size)
    image.flags.writeable = False  # shared by all sessions
    return image


@st.cache_data(max_entries=4096, show_spinner=False)
def _thumbnail(_dataset: Dataset, record: ImageRecord, root: str, size: tuple[int, int]) -> str:
    return data_uri(resize_image(_dataset.read(record), size))


@st.cache_data(max_entries=32, show_spinner=False)
def _figure_preview(_space: Workspace, places: Places, recipe: FigureRecipe) -> bytes:
    from fpc_core.figures.render import render_png  # grad-cam and matplotlib take seconds to load

    return render_png(recipe, _space, dpi=200)


@st.cache_data(max_entries=8, show_spinner=False)
def _figure_bundle(_space: Workspace, places: Places, recipe: FigureRecipe) -> bytes:
    from fpc_core.figures.render import bundle

    return bundle(recipe, _space, str(recipe.kind))


@st.cache_resource(max_entries=32, show_spinner=False)
def _sweep(
    _space: Workspace,
    places: Places,
    folder: Path,
    queries: tuple[str, ...],
    grid: SweepGrid,
    settings: QuerySettings,
) -> tuple[SweepTask, Run]:
    chosen = frozenset(queries)
    records = tuple(record for record in _space.dataset.query if record.path.as_posix() in chosen)
    task = SweepTask(_space.retriever, replace(_space.dataset, query=records), grid, settings)
    return task, Run(task.work, ResultStore(folder), _worker("runs", one_core=FEW_CORES))


@st.cache_resource(max_entries=32, show_spinner=False)
def _evaluation(
    _space: Workspace, places: Places, folder: Path, names: tuple[str, ...], settings: QuerySettings
) -> tuple[EvaluationTask, Run]:
    tables = tables_of(names, Setting(settings, _space.retriever.model.config))
    task = evaluation_task(_space.retriever, _space.dataset, tables)
    return task, Run(task.work, ResultStore(folder), _worker("runs", one_core=FEW_CORES))


@st.cache_resource(show_spinner=False)
def _worker(name: str, one_core: bool = False) -> Worker:
    return Worker(prepare=keep_to_one_core if one_core else None)


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
class _Matched:
    encoded: _Encoded
    match: Match
    stage: _Stage


def _moved(settings: QuerySettings) -> Iterator[QuerySettings]:
    return (settings.with_keep_rate(rate) for rate in keep_rates())


def _matching(space: Workspace, query: Query, settings: QuerySettings) -> _Matched:
    return _matched(
        space, query, query.digest, settings.prune, settings.variant, settings.transport, settings.shortlist
    )


@st.cache_resource(max_entries=64, show_spinner=False)
def _state(_space: Workspace, _query: Query, digest: str, block: int) -> tuple[EncoderState, _Stage]:
    image, cameras = _input(_space, _query)
    return _timed("encode up to the first drop", _space.device, lambda: _space.retriever.prepare(image, cameras, block))


def _input(space: Workspace, query: Query) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The image as the model takes it, and its camera where that is known and means something."""
    camera = query.subject.camera
    cameras = None if camera is None or not space.dataset.uses_cameras else torch.tensor([camera])
    return to_tensor([query.image], space.retriever.model.config), cameras


@st.cache_resource(max_entries=128, show_spinner=False)
def _encoded(_space: Workspace, _query: Query, digest: str, prune: PruneSettings) -> _Encoded:
    state, first = _state(_space, _query, digest, prune.blocks[0])
    encoding, rest = _timed("encode the rest", _space.device, lambda: _space.retriever.encode(state, prune))
    return _Encoded(encoding, (first, rest))


@st.cache_resource(max_entries=128, show_spinner=False)
def _matched(
    _space: Workspace,
    _query: Query,
    digest: str,
    prune: PruneSettings,
    variant: Variant,
    transport: TransportSettings,
    shortlist: int,
) -> _Matched:
    encoded = _encoded(_space, _query, digest, prune)
    settings = QuerySettings(prune, transport, variant, neighbors=1, shortlist=shortlist)
    match, stage = _timed(
        "shortlist and transport", _space.device, lambda: _space.retriever.match(encoded.encoding, settings)
    )
    return _Matched(encoded, match, stage)


@st.cache_resource(max_entries=64, show_spinner=False)
def _followed(_space: Workspace, _query: Query, digest: str, prune: PruneSettings) -> tuple[DropStage, ...]:
    return _space.retriever.follow(*_input(_space, _query), prune)


@st.cache_data(max_entries=256, show_spinner=False)
def _falls(
    _space: Workspace, _query: Query, digest: str, prune: PruneSettings, keep_rates: tuple[float, ...]
) -> np.ndarray:
    state, _ = _state(_space, _query, digest, prune.blocks[0])
    return lifelines.falls(lambda settings: _space.retriever.encode(state, settings), prune, keep_rates)


@st.cache_data(max_entries=64, show_spinner=False)
def _decoder_map(
    _space: Workspace, _trace: QueryTrace, digest: str, settings: QuerySettings, how: MapSettings
) -> PatchMap:
    from fpc_core.explain import cam  # its libraries take two seconds to import: not before the first ranking is seen

    return cam.decoder_map(_space.retriever, _trace, how)


@st.cache_data(max_entries=64, show_spinner=False)
def _encoder_map(_space: Workspace, _query: Query, digest: str, prune: PruneSettings, how: MapSettings) -> PatchMap:
    from fpc_core.explain import cam

    state, _ = _state(_space, _query, digest, prune.blocks[0])
    return cam.encoder_map(_space.retriever, state, prune, how)


def _timed(name: str, device: torch.device, work: Callable[[], Any]) -> tuple[Any, _Stage]:
    start = time.perf_counter()
    result = work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return result, _Stage(name, time.perf_counter() - start)
