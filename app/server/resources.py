"""Cached workspaces, images, figures and background jobs, shared by all visitors.

The stages of a search are in `search.py`. Only these two modules use the caches of `cache.py`.
"""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from app.public_mode import is_public
from app.server.cache import FILE_INFO, JOBS, RESULTS, WORKSPACES, cached
from app.server.data_jobs import BuildJob, ImageCheckJob
from app.server.evaluation_job import EvaluationJob
from app.server.job_worker import Worker
from app.server.occlusion_job import OcclusionJob
from app.server.search import run_in_model_queue
from app.session import visitor
from fpc_core.config import QuerySettings
from fpc_core.data.browser_encoding import data_uri
from fpc_core.data.datasets import Dataset, ImageRecord
from fpc_core.data.ground_truth import TrueMasks, occlusions, true_masks
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
from fpc_core.gallery.manifest import PARTIAL
from fpc_core.runtime.threads import FEW_CORES, limit_thread_to_one_core
from fpc_core.workspace import (
    PersonalWorkspace,
    Places,
    Workspace,
    cache_folder,
    choose_device,
    data_stamp,
    file_stamp,
    open_workspace,
    stamp,
)
from fpc_core.workspace.allowed_roots import DiscoveredPaths, Root, confine, discover
from fpc_core.workspace.inspect import MemoryInfo, WeightsInfo, inspect_memory, inspect_weights


def workspace(places: Places, device: str = "auto", roots: tuple[Root, ...] = ()) -> Workspace:
    """Return the workspace for these paths, shared by all visitors and reopened when a file changes.

    Args:
        places: Paths of data, weights and gallery memory.
        device: Device to compute on, or "auto".
        roots: Folders that must contain every image. Empty disables this check, for data that no visitor chose.

    Raises:
        OutsideRootsError: An image is outside the roots. `open_workspace` can raise other errors.
    """
    return _workspace(places, str(choose_device(device)), roots, stamp(places))


def discovered_paths(roots: tuple[Root, ...]) -> DiscoveredPaths:
    """Return the datasets, weights and gallery memories below the roots, from a listing at most a minute old."""
    return _discovered_paths(roots, int(time.time() // 60))


def data_info(places: Places, roots: tuple[Root, ...]) -> tuple[Dataset, Inventory]:
    """Return a dataset and its inventory.

    Args:
        places: Paths and options, of which only those of the dataset are used.
        roots: Folders that must contain every image. Empty disables this check.

    Raises:
        DatasetError: The dataset cannot be opened.
        OutsideRootsError: An image is outside the roots.
    """
    return _data_info(replace(places, weights=Path(), memory=Path()), roots, data_stamp(places.data))


def weights_info(places: Places) -> WeightsInfo:
    """Return the contents of a checkpoint. Raises CheckpointError if it cannot be read."""
    neutral = Places()
    others = replace(places, data=Path(), memory=Path(), protocol=neutral.protocol, cameras=neutral.cameras)
    return _weights_info(replace(others, variant=neutral.variant), file_stamp(places.weights))


def memory_info(directory: Path, dataset: Dataset, weights: WeightsInfo) -> MemoryInfo:
    """Return the state of a gallery memory and whether it matches dataset and weights (see `inspect_memory`).

    Args:
        directory: Folder of the gallery memory.
        dataset: Dataset with the gallery.
        weights: Details of the weights.
    """
    partial = directory.with_name(directory.name + PARTIAL)
    stamps = (*data_stamp(dataset.root), *(file_stamp(path) for path in (directory / "manifest.json", partial)))
    keys = (dataset.root, dataset.cameras, weights.fingerprint, weights.report.config)
    return _memory_info(directory, dataset, weights, keys, stamps)


def build_job(places: Places, device: str, dataset: Dataset, done: int) -> BuildJob:
    """Return the job that builds a gallery memory, shared by all visitors.

    Args:
        places: Paths of data, weights and gallery memory.
        device: Device to encode on, or "auto".
        dataset: Dataset whose gallery is encoded.
        done: Number of images that an interrupted build has already encoded.
    """
    return _build(places, device, dataset, done, (*data_stamp(places.data), file_stamp(places.weights)))


def image_check(dataset: Dataset) -> ImageCheckJob:
    """Return the job that decodes every image of a dataset to find broken ones, shared by all visitors."""
    return _image_check(dataset, dataset.root, data_stamp(dataset.root))


def gallery_map(workspace: Workspace, rows: np.ndarray | None = None) -> tuple[FlatMap, np.ndarray]:
    """Return a 2-D projection of the gallery, and the (G, 2) coordinates of all gallery images.

    Args:
        workspace: Workspace with the gallery.
        rows: Gallery rows to which the projection is fitted; None for all.
    """
    return _gallery_map(workspace, None if rows is None else tuple(rows.tolist()))


def sweep_job(
    workspace: Workspace, queries: tuple[str, ...], grid: SweepGrid, settings: QuerySettings
) -> tuple[SweepTask, EvaluationJob]:
    """Return the job of a sweep over these queries; equal requests share one job.

    Args:
        workspace: Workspace to search in.
        queries: Paths of the query images in the dataset.
        grid: Keep rates, alphas and values of K to combine.
        settings: Query settings that are the same for the whole sweep.

    Raises:
        ValueError: There is nothing to sweep (see `SweepTask`).
    """
    return _sweep(workspace, cache_folder() / "results", queries, grid, settings)


def evaluation_job(workspace: Workspace, tables: tuple[ReportTable, ...]) -> tuple[EvaluationTask, EvaluationJob]:
    """Return the job that computes the scores of these tables; equal requests share one job.

    Args:
        workspace: Workspace to evaluate.
        tables: Tables to fill, without scores.

    Raises:
        ValueError: There is nothing to score (see `evaluation_task`).
    """
    task, run = _evaluation(workspace, cache_folder() / "results", tables)
    run.refresh()
    return task, run


def atlas_job(workspace: Workspace, settings: QuerySettings) -> tuple[AtlasTask, EvaluationJob]:
    """Return the job that analyses the failures of all queries under these settings; equal requests share one job.

    Args:
        workspace: Workspace to search in.
        settings: Query settings.

    Raises:
        ValueError: There is nothing to analyse, or the dataset's ground truth cannot be read.
    """
    return _atlas(workspace, cache_folder() / "results", settings)


def _folders(roots: tuple[Root, ...]) -> tuple[Path, ...]:
    return tuple(root.path for root in roots)


@cached(FILE_INFO, "Looking for datasets, weights and gallery memories …")
def _discovered_paths(roots: tuple[Root, ...], minute: int) -> DiscoveredPaths:
    return discover(roots)


@cached(WORKSPACES, "Opening weights and gallery memory …")
def _workspace(places: Places, device: str, roots: tuple[Root, ...], stamps: tuple[int, ...]) -> Workspace:
    workspace = open_workspace(places, device, read_only=is_public(), allowed=_folders(roots))
    if roots:
        confine(workspace.dataset, roots)
    workspace.retriever.warm_up()
    return workspace


@cached(FILE_INFO, "Reading the file lists …")
def _data_info(places: Places, roots: tuple[Root, ...], stamps: tuple[int, ...]) -> tuple[Dataset, Inventory]:
    dataset = places.open_dataset(_folders(roots))
    if roots:
        confine(dataset, roots)
    return dataset, take_inventory(dataset)


@cached(FILE_INFO, "Reading the weights …")
def _weights_info(places: Places, stamps: int) -> WeightsInfo:
    return inspect_weights(places)


@cached(FILE_INFO, "Reading the gallery memory …")
def _memory_info(
    directory: Path, _dataset: Dataset, _weights: WeightsInfo, keys: tuple[object, ...], stamps: tuple[int, ...]
) -> MemoryInfo:
    return inspect_memory(directory, _dataset, _weights)


@cached(JOBS)
def _build(places: Places, device: str, _dataset: Dataset, _done: int, stamps: tuple[int, ...]) -> BuildJob:
    return BuildJob(places, device, _dataset, _done, worker("memories", one_core=FEW_CORES))


@cached(JOBS)
def _image_check(_dataset: Dataset, root: Path, stamps: tuple[int, ...]) -> ImageCheckJob:
    return ImageCheckJob(_dataset, worker("images", one_core=True))


@cached(RESULTS, "Drawing the map …")
def _gallery_map(workspace: Workspace, rows: tuple[int, ...] | None) -> tuple[FlatMap, np.ndarray]:
    features = workspace.retriever.memory.unit_features
    projection = flat_map(features if rows is None else features[list(rows)])
    return projection, projection.project(features)


@cached(RESULTS)
def image(workspace: Workspace, record: ImageRecord) -> np.ndarray:
    """Return an image of the dataset at the model's input size.

    Args:
        workspace: Workspace with the dataset.
        record: Record of the image.
    """
    image = workspace.image(record)
    image.flags.writeable = False  # All sessions share the cached array.
    return image


def thumbnail(workspace: Workspace, record: ImageRecord) -> str:
    """Return an image of the gallery or a query, at the model's input size, as a data URI.

    Args:
        workspace: Workspace with the image.
        record: Record of the image.
    """
    if isinstance(workspace, PersonalWorkspace) and record.path in workspace.images:
        # The shared caches must not contain images of a visitor's own gallery.
        return data_uri(workspace.image(record))
    return _thumbnail(workspace, record)


@cached(RESULTS)
def _thumbnail(workspace: Workspace, record: ImageRecord) -> str:
    return data_uri(workspace.image(record))


@cached(JOBS)
def occlusion_job(digest: str, _task: Callable[[], OcclusionTask]) -> OcclusionJob:
    """Return the job of the occlusion study with this digest.

    Args:
        digest: Hash of everything that the results depend on.
        _task: Function that creates the task, called only if there is no such job yet.
    """
    return OcclusionJob(_task(), worker("runs", one_core=FEW_CORES))


@cached(RESULTS)
def cut_out_image(workspace: Workspace, record: ImageRecord, outline: Outline) -> np.ndarray:
    """Return the person of a dataset image, cut out along an outline, as (H, W, 4) uint8 (see `cut_out`).

    Args:
        workspace: Workspace with the dataset.
        record: Record of the image.
        outline: Kind of outline.
    """
    return cut_out(image(workspace, record), outline, masks(workspace).get(record.path))


@cached(RESULTS)
def figure_preview(workspace: Workspace, recipe: FigureRecipe, tables: tuple[ReportTable, ...] = ()) -> bytes:
    """Return the figure of a recipe as a PNG at 200 dpi. Errors are those of `figures.render.draw`.

    Args:
        workspace: Workspace of the figure.
        recipe: Recipe of the figure.
        tables: Tables with scores, for a figure of all queries.
    """
    # Imported here, because grad-cam and matplotlib take seconds to import.
    from fpc_core.figures.render import render_png

    return run_in_model_queue(lambda: render_png(recipe, workspace, 200, tables))


@cached(RESULTS)
def figure_bundle(workspace: Workspace, recipe: FigureRecipe, tables: tuple[ReportTable, ...] = ()) -> bytes:
    """Return the ZIP file that `figures.render.bundle` makes for a recipe.

    Args:
        workspace: Workspace of the figure.
        recipe: Recipe of the figure.
        tables: Tables with scores, for a figure of all queries.
    """
    from fpc_core.figures.render import bundle

    return run_in_model_queue(lambda: bundle(recipe, workspace, str(recipe.kind), tables))


def figure_file(workspace: Workspace, recipe: FigureRecipe, suffix: str) -> bytes:
    """Return one file of `figure_bundle`.

    Args:
        workspace: Workspace of the figure.
        recipe: Recipe of the figure.
        suffix: "png" for the image at 300 dpi, "svg", or "csv" for the data.
    """
    name = f"{recipe.kind}-300dpi.png" if suffix == "png" else f"{recipe.kind}.{suffix}"
    with zipfile.ZipFile(io.BytesIO(figure_bundle(workspace, recipe))) as archive:
        return archive.read(name)


@cached(JOBS)
def _sweep(
    workspace: Workspace, folder: Path, queries: tuple[str, ...], grid: SweepGrid, settings: QuerySettings
) -> tuple[SweepTask, EvaluationJob]:
    chosen = frozenset(queries)
    records = tuple(record for record in workspace.dataset.query if record.path.as_posix() in chosen)
    task = SweepTask(workspace.retriever, replace(workspace.dataset, query=records), grid, settings)
    return task, EvaluationJob(
        task.work, ResultStore(folder, read_only=workspace.read_only), worker("runs", one_core=FEW_CORES)
    )


@cached(JOBS)
def _evaluation(
    workspace: Workspace, folder: Path, tables: tuple[ReportTable, ...]
) -> tuple[EvaluationTask, EvaluationJob]:
    task = evaluation_task(workspace.retriever, workspace.dataset, tables, workspace.notes)
    return task, EvaluationJob(
        task.work, ResultStore(folder, read_only=workspace.read_only), worker("runs", one_core=FEW_CORES)
    )


@cached(JOBS)
def _atlas(workspace: Workspace, folder: Path, settings: QuerySettings) -> tuple[AtlasTask, EvaluationJob]:
    task = AtlasTask(workspace.retriever, workspace.dataset, settings, masks(workspace), occlusions(workspace.dataset))
    return task, EvaluationJob(
        task.work, ResultStore(folder, read_only=workspace.read_only), worker("runs", one_core=FEW_CORES)
    )


@cache
def worker(name: str, one_core: bool) -> Worker:
    """Return the worker with this name.

    Args:
        name: Name of the worker.
        one_core: Whether it computes on one core, so that the other cores are free for the pages.
    """
    return Worker(prepare=limit_thread_to_one_core if one_core else None)


@cache
def prefetch_worker() -> Worker:
    """Return the worker that precomputes results for visitors as long as they are connected."""
    return Worker(prepare=limit_thread_to_one_core, is_connected=visitor.is_connected)


@cached(RESULTS, "Reading the ground-truth masks …")
def masks(workspace: Workspace) -> TrueMasks:
    """Return the ground-truth masks of the dataset."""
    return true_masks(workspace.dataset)
