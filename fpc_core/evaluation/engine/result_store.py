"""Store the results of passes on disk, so that nothing is computed twice.

There is one .npz file for each combination of pass, weights, gallery memory and settings other than alpha and K. Its
rows are images, identified by path, size, identity and camera; its columns are points. Deferred points also depend on
the list of all queries.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fpc_core.config import Solver
from fpc_core.evaluation.engine.passes import UNKNOWN, Part, Pass, PassResult, PassTask, Point, PostProcessing
from fpc_core.io.atomic_write import atomic_write
from fpc_core.io.bounded_files import read_archive
from fpc_core.io.dataclass_json import to_plain

MAX_BYTES = 2 << 30  # Maximum size of one file; the features of 3,368 queries under 30 settings take 0.6 GB.
FORMAT = 3  # Version of the results; increase it when a change to the core changes results.
RELEASED_FORMAT = 4  # The same for the released solver, since patches that do not agree have no weight there.


@dataclass(frozen=True, eq=False)
class LoadResult:
    """Stored results of each pass, and one message for every file that could not be used."""

    known: dict[Pass, PassResult]
    notes: tuple[str, ...]


@dataclass(eq=False)
class _ResultTable:
    """Content of a file, with one row per image and one column per point.

    Attributes:
        images: Names of the n images.
        points: Names of the P points.
        average_precision: (n, P) float64, NaN where not stored.
        first_match: (n, P) int64, UNKNOWN where not stored.
        features: (n, width) float32 values for each name of a point or part.
    """

    images: list[str] = field(default_factory=list)
    points: list[str] = field(default_factory=list)
    average_precision: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    first_match: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.int64))
    features: dict[str, np.ndarray] = field(default_factory=dict)

    def extended(self, images: Sequence[str], points: Sequence[str], widths: Mapping[str, int]) -> _ResultTable:
        """Return a copy with empty rows and columns for new images, points and features.

        Args:
            images: Names of images.
            points: Names of points.
            widths: Number of values per image for each name of a feature.
        """
        all_images = list(dict.fromkeys((*self.images, *images)))
        all_points = list(dict.fromkeys((*self.points, *points)))
        shape, stored = (len(all_images), len(all_points)), np.s_[: len(self.images), : len(self.points)]
        precision, first = np.full(shape, np.nan), np.full(shape, UNKNOWN)
        precision[stored], first[stored] = self.average_precision, self.first_match
        features = {}
        for name, width in ({name: each.shape[1] for name, each in self.features.items()} | dict(widths)).items():
            features[name] = np.full((len(all_images), width), np.nan, np.float32)
            if name in self.features:
                features[name][: len(self.images)] = self.features[name]
        return _ResultTable(all_images, all_points, precision, first, features)


class ResultStore:
    """Stores results in a folder, usually `workspace.cache_folder() / "results"`."""

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        """Open a store in a folder, which is created when results are first saved.

        Args:
            folder: Folder of the result files.
            read_only: Whether to load results without storing new ones.
        """
        self.folder = folder
        self.read_only = read_only

    def load(self, task: PassTask) -> LoadResult:
        """Return the stored results of a task, ignoring files that are damaged or belong to other data.

        Raises:
            OSError: An image is missing.
            ValueError: The gallery memory has no fingerprint.
        """
        known, notes = {}, []
        for eval_pass, result in task.known().items():
            table, note = self._table(task, eval_pass)
            if note:
                notes.append(note)
            restored = _restore(task, eval_pass, result, table)
            if (restored.first_match != UNKNOWN).any():
                known[eval_pass] = restored
        return LoadResult(known, tuple(notes))

    def save(self, task: PassTask, eval_pass: Pass, result: PassResult) -> None:
        """Add results to the file of a pass atomically.

        Args:
            task: Task that the pass belongs to.
            eval_pass: One of the task's passes.
            result: Results of the pass, which may be incomplete.

        Raises:
            OSError: The folder is not writable.
        """
        rows = np.flatnonzero(result.known)
        if self.read_only or not len(rows):
            return
        stored, _ = self._table(task, eval_pass)
        images, points = _images(task, eval_pass), _points(task, eval_pass)
        features_by_name = {_name(task, point): features for point, features in result.features.items()}
        widths = {name: features.shape[1] for name, features in features_by_name.items()}
        table = stored.extended([images[row] for row in rows], points, widths)
        rows_by_name = {name: index for index, name in enumerate(table.images)}
        table_rows = np.array([rows_by_name[images[row]] for row in rows])
        for index, name in enumerate(points):
            scored = result.first_match[rows, index] != UNKNOWN
            column = table.points.index(name)
            table.average_precision[table_rows[scored], column] = result.average_precision[rows[scored], index]
            table.first_match[table_rows[scored], column] = result.first_match[rows[scored], index]
        for name, features in features_by_name.items():
            table.features[name][table_rows] = features[rows]
        path = self._path(task, eval_pass)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _write(path, _provenance(task, eval_pass), table)
        except OSError as error:
            raise OSError(f"cannot store results ({error}); set FPC_CACHE to a writable folder") from error

    def _table(self, task: PassTask, eval_pass: Pass) -> tuple[_ResultTable, str]:
        """Return the content of a pass's file, and a note if the file exists but cannot be used.

        Args:
            task: Task that the pass belongs to.
            eval_pass: One of the task's passes.
        """
        path = self._path(task, eval_pass)
        try:
            stored = read_archive(path, MAX_BYTES)  # Reading everything verifies every checksum.
            if str(stored["made_from"]) != _provenance(task, eval_pass):
                return (
                    _ResultTable(),
                    f"the stored results {path} belong to other data or settings and are computed again",
                )
            return _checked(stored, {_name(task, each): width for each, width in task.widths(eval_pass).items()}), ""
        except (FileNotFoundError, NotADirectoryError):
            return _ResultTable(), ""
        except (OSError, ValueError, KeyError, EOFError, RuntimeError, struct.error, zipfile.BadZipFile) as error:
            return _ResultTable(), f"the stored results {path} are damaged ({error}) and are computed again"

    def _path(self, task: PassTask, eval_pass: Pass) -> Path:
        return self.folder / f"{hashlib.sha256(_provenance(task, eval_pass).encode()).hexdigest()[:32]}.npz"


def _restore(task: PassTask, eval_pass: Pass, result: PassResult, table: _ResultTable) -> PassResult:
    """Return an empty result filled with the stored values of its images and points.

    Args:
        task: Task that the pass belongs to.
        eval_pass: One of the task's passes.
        result: Empty result of the pass, whose features are filled in place.
        table: Stored values.
    """
    rows_by_name = {name: index for index, name in enumerate(table.images)}
    names = _images(task, eval_pass)
    rows = np.array([row for row, name in enumerate(names) if name in rows_by_name], np.int64)
    stored = np.array([rows_by_name[names[row]] for row in rows], np.int64)
    if not len(rows):
        return result
    precision, first = result.average_precision.copy(), result.first_match.copy()
    for index, name in enumerate(_points(task, eval_pass)):
        if name in table.points:
            column = table.points.index(name)
            precision[rows, index] = table.average_precision[stored, column]
            first[rows, index] = table.first_match[stored, column]
    immediate = [eval_pass.points.index(point) for point in eval_pass.immediate_points]
    known = (first[:, immediate] != UNKNOWN).all(axis=1)
    for point, features in result.features.items():
        name = _name(task, point)
        if name in table.features:
            features[rows] = table.features[name][stored]
        known &= np.isfinite(features).all(axis=1)
    return PassResult(precision, first, known, result.features)


def _write(path: Path, provenance: str, table: _ResultTable) -> None:
    arrays: dict[str, Any] = {
        "made_from": np.array(provenance),
        "images": np.array(table.images),
        "points": np.array(table.points),
        "average_precision": table.average_precision,
        "first_match": table.first_match,
        "kept": np.array(list(table.features), dtype=np.str_),
    }
    arrays |= {f"features_{index}": features for index, features in enumerate(table.features.values())}
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def _checked(stored: dict[str, np.ndarray], widths: Mapping[str, int]) -> _ResultTable:
    images, points = stored["images"].tolist(), stored["points"].tolist()
    precision, first = stored["average_precision"], stored["first_match"]
    features = {str(name): stored[f"features_{index}"] for index, name in enumerate(stored["kept"])}
    shape = (len(images), len(points))
    if precision.shape != shape or first.shape != shape:
        raise ValueError(f"average_precision and first_match must have shape {shape}")
    if any(each.shape != (len(images), widths.get(name, each.shape[-1])) for name, each in features.items()):
        raise ValueError("the features do not match the images or the model")
    scored = first >= 0
    if not ((precision[scored] > 0) & (precision[scored] <= 1)).all() or (first < UNKNOWN).any():
        raise ValueError("an average precision or a rank is out of range")
    return _ResultTable(images, points, precision, first, features)


def _images(task: PassTask, eval_pass: Pass) -> list[str]:
    """Return the name under which each image of a pass is stored.

    Raises:
        OSError: An image is missing.
    """
    root = task.dataset.root
    return [
        f"{each.path.as_posix()} {(root / each.path).stat().st_size} {each.identity} {each.camera}"
        for each in task.records(eval_pass)
    ]


def _points(task: PassTask, eval_pass: Pass) -> list[str]:
    return [_name(task, point) for point in eval_pass.points]


def _name(task: PassTask, point: Point | Part) -> str:
    """Return the name under which a point or part is stored; that of a deferred point includes a digest of all queries.

    Args:
        task: Task with the queries.
        point: Point or part to name.
    """
    if isinstance(point, Part):
        return point.value
    name = f"alpha {point.alpha!r} K {point.neighbors}"
    if point.then is PostProcessing.NOTHING:
        return name
    return f"{name} {point.then} {task.queries_digest}"


def _provenance(task: PassTask, eval_pass: Pass) -> str:
    """Return everything that a result depends on except images and points, as JSON.

    Args:
        task: Task that the pass belongs to.
        eval_pass: One of the task's passes.

    Raises:
        ValueError: The gallery memory has no fingerprint.
    """
    fingerprint = task.retriever.memory.fingerprint
    if fingerprint is None:
        raise ValueError("results need a gallery memory with a fingerprint; open the gallery memory from disk")
    settings = eval_pass.settings
    content: dict[str, Any] = {
        "format": RELEASED_FORMAT if settings.transport.solver is Solver.RELEASED else FORMAT,
        "memory": asdict(fingerprint),
        "uses_cameras": task.dataset.uses_cameras,
        "protocol": task.dataset.protocol,
        "device": task.retriever.device.type,
        "gallery": eval_pass.gallery,
        "anew": eval_pass.resample_per_query,
        "prune": to_plain(settings.prune),
        "transport": asdict(settings.transport),
        "variant": settings.variant,
        "shortlist": settings.shortlist,
        "found": task.retriever.index.exactness,
    }
    return json.dumps(content, sort_keys=True)
