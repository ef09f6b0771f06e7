"""Results of passes on disk: what was computed once is never computed again, whoever asks for it.

One .npz file per pass and everything else that could change a result: weights, memory, settings but alpha and K. Its
rows are single images, known by path, size, identity and camera, its columns are points: all queries answer a few, a
sweep answers a table. Points that wait for all queries are known by the list of these as well.
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

from fpc_core.evaluation.engine.passes import UNKNOWN, Part, Pass, PassResult, PassTask, Point, PostProcessing
from fpc_core.io.atomic_write import atomic_write
from fpc_core.io.bounded_files import read_archive

MAX_BYTES = 2 << 30  # of one file; the features of 3,368 queries under 30 settings take 0.6 GB
FORMAT = 3  # raise it when a change to the core changes results


@dataclass(frozen=True, eq=False)
class LoadResult:
    """Results found by pass, and one sentence for every file that could not be used."""

    known: dict[Pass, PassResult]
    notes: tuple[str, ...]


@dataclass(eq=False)
class _ResultTable:
    """What a file holds: AP and first match (n, P) by name of the image and of the point.

    features: (n, width) by the name of a point or part.
    """

    images: list[str] = field(default_factory=list)
    points: list[str] = field(default_factory=list)
    average_precision: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    first_match: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.int64))
    features: dict[str, np.ndarray] = field(default_factory=dict)

    def grown(self, images: Sequence[str], points: Sequence[str], widths: Mapping[str, int]) -> _ResultTable:
        """With room for these too. widths: of the features to hold, by name."""
        all_images = list(dict.fromkeys((*self.images, *images)))
        all_points = list(dict.fromkeys((*self.points, *points)))
        shape, held = (len(all_images), len(all_points)), np.s_[: len(self.images), : len(self.points)]
        precision, first = np.full(shape, np.nan), np.full(shape, UNKNOWN)
        precision[held], first[held] = self.average_precision, self.first_match
        features = {}
        for name, width in ({name: each.shape[1] for name, each in self.features.items()} | dict(widths)).items():
            features[name] = np.full((len(all_images), width), np.nan, np.float32)
            if name in self.features:
                features[name][: len(self.images)] = self.features[name]
        return _ResultTable(all_images, all_points, precision, first, features)


class ResultStore:
    """Keeps results in `folder`, which is made when first needed (`workspace.cache_folder() / "results"`).

    read_only: takes what is there and keeps nothing.
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self.folder = folder
        self.read_only = read_only

    def load(self, task: PassTask) -> LoadResult:
        """What is known of the task. A file that is damaged or was made from anything else counts as absent.

        Raises OSError for an image that is not there, ValueError for a memory without fingerprint.
        """
        known, notes = {}, []
        for asked, result in task.known().items():
            sheet, note = self._sheet(task, asked)
            if note:
                notes.append(note)
            found = _restore(task, asked, result, sheet)
            if (found.first_match != UNKNOWN).any():
                known[asked] = found
        return LoadResult(known, tuple(notes))

    def save(self, task: PassTask, asked: Pass, result: PassResult) -> None:
        """Write what is known, beside what the file knows already; whole or not at all.

        Raises OSError where the folder cannot be written.
        """
        rows = np.flatnonzero(result.known)
        if self.read_only or not len(rows):
            return
        held, _ = self._sheet(task, asked)
        images, points = _images(task, asked), _points(task, asked)
        kept = {_name(task, point): features for point, features in result.features.items()}
        widths = {name: features.shape[1] for name, features in kept.items()}
        sheet = held.grown([images[row] for row in rows], points, widths)
        places = {name: place for place, name in enumerate(sheet.images)}
        to = np.array([places[images[row]] for row in rows])
        for place, name in enumerate(points):
            found = result.first_match[rows, place] != UNKNOWN
            column = sheet.points.index(name)
            sheet.average_precision[to[found], column] = result.average_precision[rows[found], place]
            sheet.first_match[to[found], column] = result.first_match[rows[found], place]
        for name, features in kept.items():
            sheet.features[name][to] = features[rows]
        path = self._path(task, asked)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _write(path, _provenance(task, asked), sheet)
        except OSError as error:
            raise OSError(f"cannot keep results ({error}); set FPC_CACHE to a folder that can be written") from error

    def _sheet(self, task: PassTask, asked: Pass) -> tuple[_ResultTable, str]:
        """What the file of a pass holds, and a note where there is one that cannot be used."""
        path = self._path(task, asked)
        try:
            held = read_archive(path, MAX_BYTES)  # reads all, and so checks every checksum
            if str(held["made_from"]) != _provenance(task, asked):
                return _ResultTable(), f"the kept results {path} were made from something else; they are computed again"
            return _checked(held, {_name(task, each): width for each, width in task.widths(asked).items()}), ""
        except (FileNotFoundError, NotADirectoryError):
            return _ResultTable(), ""
        except (OSError, ValueError, KeyError, EOFError, RuntimeError, struct.error, zipfile.BadZipFile) as error:
            return _ResultTable(), f"the kept results {path} are damaged ({error}); they are computed again"

    def _path(self, task: PassTask, asked: Pass) -> Path:
        return self.folder / f"{hashlib.sha256(_provenance(task, asked).encode()).hexdigest()[:32]}.npz"


def _restore(task: PassTask, asked: Pass, result: PassResult, sheet: _ResultTable) -> PassResult:
    """`result`, of which nothing is known, with what the sheet knows of its images and points."""
    places = {name: place for place, name in enumerate(sheet.images)}
    names = _images(task, asked)
    rows = np.array([row for row, name in enumerate(names) if name in places], np.int64)
    held = np.array([places[names[row]] for row in rows], np.int64)
    if not len(rows):
        return result
    precision, first = result.average_precision.copy(), result.first_match.copy()
    for place, name in enumerate(_points(task, asked)):
        if name in sheet.points:
            column = sheet.points.index(name)
            precision[rows, place] = sheet.average_precision[held, column]
            first[rows, place] = sheet.first_match[held, column]
    direct = [asked.points.index(point) for point in asked.immediate_points]
    known = (first[:, direct] != UNKNOWN).all(axis=1)
    for point, features in result.features.items():
        name = _name(task, point)
        if name in sheet.features:
            features[rows] = sheet.features[name][held]
        known &= np.isfinite(features).all(axis=1)
    return PassResult(precision, first, known, result.features)


def _write(path: Path, made_from: str, sheet: _ResultTable) -> None:
    arrays: dict[str, Any] = {
        "made_from": np.array(made_from),
        "images": np.array(sheet.images),
        "points": np.array(sheet.points),
        "average_precision": sheet.average_precision,
        "first_match": sheet.first_match,
        "kept": np.array(list(sheet.features), dtype=np.str_),
    }
    arrays |= {f"features_{place}": features for place, features in enumerate(sheet.features.values())}
    with atomic_write(path) as place, place.open("wb") as file:
        np.savez(file, **arrays)


def _checked(held: dict[str, np.ndarray], widths: Mapping[str, int]) -> _ResultTable:
    images, points = held["images"].tolist(), held["points"].tolist()
    precision, first = held["average_precision"], held["first_match"]
    features = {str(name): held[f"features_{place}"] for place, name in enumerate(held["kept"])}
    shape = (len(images), len(points))
    if precision.shape != shape or first.shape != shape:
        raise ValueError("its arrays do not fit each other")
    if any(each.shape != (len(images), widths.get(name, each.shape[-1])) for name, each in features.items()):
        raise ValueError("its features do not fit its images")
    scored = first >= 0
    if not ((precision[scored] > 0) & (precision[scored] <= 1)).all() or (first < UNKNOWN).any():
        raise ValueError("it holds values out of range")
    return _ResultTable(images, points, precision, first, features)


def _images(task: PassTask, asked: Pass) -> list[str]:
    """What each image of a pass is known by. Raises OSError for one that is not there."""
    root = task.dataset.root
    return [
        f"{each.path.as_posix()} {(root / each.path).stat().st_size} {each.identity} {each.camera}"
        for each in task.records(asked)
    ]


def _points(task: PassTask, asked: Pass) -> list[str]:
    return [_name(task, point) for point in asked.points]


def _name(task: PassTask, point: Point | Part) -> str:
    """What a point or part is known by; a point that waits for all queries, by all of them too."""
    if isinstance(point, Part):
        return point.value
    name = f"alpha {point.alpha!r} K {point.neighbors}"
    if point.then is PostProcessing.NOTHING:
        return name
    return f"{name} {point.then} {task.queries_digest}"


def _provenance(task: PassTask, asked: Pass) -> str:
    """Everything but images and points that a result depends on, as JSON."""
    fingerprint = task.retriever.memory.fingerprint
    if fingerprint is None:
        raise ValueError("this gallery memory has no fingerprint; results of it cannot be kept: open it from disk")
    settings = asked.settings
    content: dict[str, Any] = {
        "format": FORMAT,
        "memory": asdict(fingerprint),
        "uses_cameras": task.dataset.uses_cameras,
        "device": task.retriever.device.type,
        "gallery": asked.gallery,
        "anew": asked.resample_per_query,
        "prune": asdict(settings.prune),
        "transport": asdict(settings.transport),
        "variant": settings.variant,
        "shortlist": settings.shortlist,
        "found": task.retriever.index.exactness,
    }
    return json.dumps(content, sort_keys=True)
