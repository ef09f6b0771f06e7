"""What visitors share: workspaces, pictures, work in the background. The stages of a search are in stages.py.

These two files alone use caches (see caches.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from app.public_mode import is_public
from app.server.cache import ERRANDS, OPEN, READ, RESULTS, kept
from app.server.data_jobs import Build, ImageCheck
from app.server.evaluation_job import Run
from app.server.occlusion_job import Study
from app.server.search import computed
from app.server.worker import Worker
from app.session import visitor
from fpc_core.config import QuerySettings
from fpc_core.data.browser_encoding import data_uri
from fpc_core.data.datasets import Dataset, ImageRecord, open_dataset
from fpc_core.data.ground_truth import occlusions, true_masks
from fpc_core.data.images import resize_image
from fpc_core.data.inventory import Inventory, take_inventory
from fpc_core.data.occluder_rendering import cut_out
from fpc_core.data.occluders import Outline
from fpc_core.evaluation.engine.result_store import ResultStore
from fpc_core.evaluation.failure_analysis.task import AtlasTask
from fpc_core.evaluation.occlusion.study import OcclusionTask
from fpc_core.evaluation.paper_tables.table import ReportTable
from fpc_core.evaluation.paper_tables.task import EvaluationTask, evaluation_task
from fpc_core.evaluation.sweep.task import SweepGrid, SweepTask
from fpc_core.explain.projection import FlatMap, flat_map
from fpc_core.figures.recipe import FigureRecipe
from fpc_core.gallery.memory import PARTIAL
from fpc_core.runtime.threads import FEW_CORES, keep_to_one_core
from fpc_core.workspace import (
    Places,
    Workspace,
    cache_folder,
    choose_device,
    data_stamp,
    file_stamp,
    open_workspace,
    stamp,
)
from fpc_core.workspace.allowed_roots import Root, Sights, confine, look_below
from fpc_core.workspace.inspect import MemoryFound, WeightsFound, inspect_memory, inspect_weights


def workspace(places: Places, device: str = "auto", roots: tuple[Root, ...] = ()) -> Workspace:
    """The workspace of these places, shared by all visitors who chose the same and opened anew when they change.

    roots: below which every image must lie; empty for data that no visitor chose. Raises as `open_workspace` and
    OutsideRootsError.
    """
    return _workspace(places, str(choose_device(device)), roots, stamp(places))


def sights(roots: tuple[Root, ...]) -> Sights:
    """What lies below the roots, as of a minute ago at most."""
    return _sights(roots, int(time.time() // 60))


def data_found(folder: Path, roots: tuple[Root, ...]) -> tuple[Dataset, Inventory]:
    """A dataset and what it holds. roots: as for `workspace`. Raises DatasetError and OutsideRootsError."""
    return _data_found(folder, roots, data_stamp(folder))


def weights_found(places: Places) -> WeightsFound:
    """What the checkpoint of these places holds. Raises CheckpointError."""
    return _weights_found(replace(places, data=Path(), memory=Path()), file_stamp(places.weights))


def memory_found(directory: Path, dataset: Dataset, weights: WeightsFound) -> MemoryFound:
    """How a memory stands to data and weights, as `inspect_memory`."""
    partial = directory.with_name(directory.name + PARTIAL)
    stamped = (*data_stamp(dataset.root), *(file_stamp(path) for path in (directory / "manifest.json", partial)))
    return _memory_found(
        directory, dataset, weights, (dataset.root, weights.fingerprint, weights.report.config), stamped
    )


def build(places: Places, device: str, dataset: Dataset, done: int) -> Build:
    """The build of this memory, the same one for every visitor. done: images of an interrupted one."""
    return _build(places, device, dataset, done, (*data_stamp(places.data), file_stamp(places.weights)))


def image_check(dataset: Dataset) -> ImageCheck:
    """The check of these images, the same one for every visitor."""
    return _image_check(dataset, dataset.root, data_stamp(dataset.root))


def gallery_map(space: Workspace, rows: np.ndarray | None = None) -> tuple[FlatMap, np.ndarray]:
    """The flat map of these rows of the gallery (None: all), and where every gallery image lies on it (G, 2)."""
    return _gallery_map(space, None if rows is None else tuple(rows.tolist()))


def sweep(
    space: Workspace, queries: tuple[str, ...], grid: SweepGrid, settings: QuerySettings
) -> tuple[SweepTask, Run]:
    """The sweep over these queries of the data, by path; the same one for every visitor who asks for it.

    Raises ValueError where nothing can be swept (see `SweepTask`).
    """
    return _sweep(space, cache_folder() / "results", queries, grid, settings)


def evaluation(space: Workspace, tables: tuple[ReportTable, ...]) -> tuple[EvaluationTask, Run]:
    """The evaluation of these tables without scores; the same one for every visitor who asks for it.

    Raises ValueError where nothing can be scored (see `evaluation_task`).
    """
    task, run = _evaluation(space, cache_folder() / "results", tables)
    run.refresh()
    return task, run


def atlas(space: Workspace, settings: QuerySettings) -> tuple[AtlasTask, Run]:
    """The atlas of all queries under these settings; the same one for every visitor who asks for it.

    Raises ValueError where there is nothing to sort, or for records of the data that cannot be read.
    """
    return _atlas(space, cache_folder() / "results", settings)


@kept(READ, "Looking for data, weights and memories …")
def _sights(roots: tuple[Root, ...], minute: int) -> Sights:
    return look_below(roots)


@kept(OPEN, "Opening weights and gallery memory …")
def _workspace(places: Places, device: str, roots: tuple[Root, ...], stamped: tuple[int, ...]) -> Workspace:
    space = open_workspace(places, device, read_only=is_public())
    if roots:
        confine(space.dataset, roots)
    return space


@kept(READ, "Reading the file lists …")
def _data_found(folder: Path, roots: tuple[Root, ...], stamped: tuple[int, ...]) -> tuple[Dataset, Inventory]:
    dataset = open_dataset(folder)
    if roots:
        confine(dataset, roots)
    return dataset, take_inventory(dataset)


@kept(READ, "Reading the weights …")
def _weights_found(places: Places, stamped: int) -> WeightsFound:
    return inspect_weights(places)


@kept(READ, "Reading the gallery memory …")
def _memory_found(
    directory: Path, _dataset: Dataset, _weights: WeightsFound, told: tuple[object, ...], stamped: tuple[int, ...]
) -> MemoryFound:
    return inspect_memory(directory, _dataset, _weights)


@kept(ERRANDS)
def _build(places: Places, device: str, _dataset: Dataset, _done: int, stamped: tuple[int, ...]) -> Build:
    return Build(places, device, _dataset, _done, worker("memories", one_core=FEW_CORES))


@kept(ERRANDS)
def _image_check(_dataset: Dataset, root: Path, stamped: tuple[int, ...]) -> ImageCheck:
    return ImageCheck(_dataset, worker("images", one_core=True))


@kept(RESULTS, "Drawing the map …")
def _gallery_map(space: Workspace, rows: tuple[int, ...] | None) -> tuple[FlatMap, np.ndarray]:
    features = space.retriever.memory.unit_features
    found = flat_map(features if rows is None else features[list(rows)])
    return found, found.place(features)


@kept(RESULTS)
def picture(space: Workspace, record: ImageRecord) -> np.ndarray:
    """An image of the dataset at the model's input size."""
    image = resize_image(space.dataset.read(record), space.retriever.model.config.image_size)
    image.flags.writeable = False  # shared by all sessions
    return image


@kept(RESULTS)
def thumbnail(space: Workspace, record: ImageRecord) -> str:
    """The same as a data URI."""
    return data_uri(resize_image(space.dataset.read(record), space.retriever.model.config.image_size))


@kept(ERRANDS)
def study(digest: str, _task: Callable[[], OcclusionTask]) -> Study:
    return Study(_task(), worker("runs", one_core=FEW_CORES))


@kept(RESULTS)
def cut_out_of(space: Workspace, record: ImageRecord, outline: Outline) -> np.ndarray:
    return cut_out(picture(space, record), outline, masks(space).get(record.path))


@kept(RESULTS)
def figure_preview(space: Workspace, recipe: FigureRecipe, tables: tuple[ReportTable, ...] = ()) -> bytes:
    """The figure of a recipe as PNG at 200 dpi. tables: as of `render.draw`, which says what is raised."""
    from fpc_core.figures.render import render_png  # grad-cam and matplotlib take seconds to load

    return computed(lambda: render_png(recipe, space, 200, tables))


@kept(RESULTS)
def figure_bundle(space: Workspace, recipe: FigureRecipe, tables: tuple[ReportTable, ...] = ()) -> bytes:
    """The zip of `figures.render.bundle`."""
    from fpc_core.figures.render import bundle

    return computed(lambda: bundle(recipe, space, str(recipe.kind), tables))


@kept(ERRANDS)
def _sweep(
    space: Workspace, folder: Path, queries: tuple[str, ...], grid: SweepGrid, settings: QuerySettings
) -> tuple[SweepTask, Run]:
    chosen = frozenset(queries)
    records = tuple(record for record in space.dataset.query if record.path.as_posix() in chosen)
    task = SweepTask(space.retriever, replace(space.dataset, query=records), grid, settings)
    return task, Run(task.work, ResultStore(folder, read_only=space.read_only), worker("runs", one_core=FEW_CORES))


@kept(ERRANDS)
def _evaluation(space: Workspace, folder: Path, tables: tuple[ReportTable, ...]) -> tuple[EvaluationTask, Run]:
    task = evaluation_task(space.retriever, space.dataset, tables)
    return task, Run(task.work, ResultStore(folder, read_only=space.read_only), worker("runs", one_core=FEW_CORES))


@kept(ERRANDS)
def _atlas(space: Workspace, folder: Path, settings: QuerySettings) -> tuple[AtlasTask, Run]:
    task = AtlasTask(space.retriever, space.dataset, settings, masks(space), occlusions(space.dataset))
    return task, Run(task.work, ResultStore(folder, read_only=space.read_only), worker("runs", one_core=FEW_CORES))


@cache
def worker(name: str, one_core: bool) -> Worker:
    """The background thread of this name, started when first asked for; on one core, the page keeps the others."""
    return Worker(prepare=keep_to_one_core if one_core else None)


@cache
def ahead_worker() -> Worker:
    """The one that computes what a visitor has not asked for yet, while the visitor is there."""
    return Worker(prepare=keep_to_one_core, is_here=visitor.is_here)


@kept(RESULTS)
def masks(space: Workspace) -> dict[Path, np.ndarray]:
    return true_masks(space.dataset)
