"""Sweep results on disk: what was computed once is never computed again, whichever set of queries asks for it.

One .npz file per keep rate and everything else that could change a result: weights, memory, settings, alphas, Ks. Its
rows are single queries, known by path, size, identity and camera, so a sweep over all queries answers one over a few.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fpc_core.evaluation.sweep import SweepColumn, SweepTask

Rows = dict[str, tuple[np.ndarray, np.ndarray]]  # by query: average precision and first match, (A, K) each
FORMAT = 1  # raise it when a change to the core changes results


@dataclass(frozen=True, eq=False)
class Kept:
    """Columns found by keep rate, and one sentence for every file that could not be used."""

    columns: dict[float, SweepColumn]
    notes: tuple[str, ...]


class SweepStore:
    """Keeps columns in `folder`, which is made when first needed (`workspace.cache_folder() / "sweeps"`)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, task: SweepTask) -> Kept:
        """What is known of the task. A file that is damaged or was made from anything else counts as absent."""
        columns, notes = {}, []
        names = _names(task)
        for rate in task.grid.keep_rates:
            rows, note = self._rows(task, rate)
            if note:
                notes.append(note)
            column = SweepColumn.empty(len(names), task.grid)
            for place, name in enumerate(names):
                if name in rows:
                    column.average_precision[place], column.first_match[place] = rows[name]
            if column.known.any():
                columns[rate] = column
        return Kept(columns, tuple(notes))

    def save(self, task: SweepTask, keep_rate: float, column: SweepColumn) -> None:
        """Write what is known, beside what the file knows of other queries; whole or not at all.

        Raises OSError where the folder cannot be written.
        """
        rows, _ = self._rows(task, keep_rate)
        names = _names(task)
        rows |= {
            names[place]: (column.average_precision[place], column.first_match[place])
            for place in np.flatnonzero(column.known).tolist()
        }
        if not rows:
            return
        path = self._path(task, keep_rate)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _write(path, _made_from(task, keep_rate), rows)
        except OSError as error:
            raise OSError(f"cannot keep results ({error}); set FPC_CACHE to a folder that can be written") from error

    def _rows(self, task: SweepTask, keep_rate: float) -> tuple[Rows, str]:
        """AP and first match (A, K) by query, and a note where the file that should hold them cannot be used."""
        path = self._path(task, keep_rate)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
                held = {name: found[name] for name in found.files}  # reads all, and so checks every checksum
            if str(held["made_from"]) != _made_from(task, keep_rate):
                return {}, f"the kept results {path} were made from something else; they are computed again"
            return _checked(held, (len(task.grid.alphas), len(task.grid.neighbors))), ""
        except (FileNotFoundError, NotADirectoryError):
            return {}, ""
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            return {}, f"the kept results {path} are damaged ({error}); they are computed again"

    def _path(self, task: SweepTask, keep_rate: float) -> Path:
        return self.folder / f"{hashlib.sha256(_made_from(task, keep_rate).encode()).hexdigest()[:32]}.npz"


def _write(path: Path, made_from: str, rows: Rows) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        np.savez(
            file,
            made_from=np.array(made_from),
            queries=np.array(list(rows)),
            average_precision=np.stack([each for each, _ in rows.values()]),
            first_match=np.stack([each for _, each in rows.values()]),
        )
    temporary.replace(path)


def _checked(held: dict[str, np.ndarray], shape: tuple[int, int]) -> Rows:
    names, precision, first = held["queries"], held["average_precision"], held["first_match"]
    if precision.shape != (len(names), *shape) or first.shape != precision.shape:
        raise ValueError("its arrays do not fit each other")
    if not ((precision > 0) & (precision <= 1)).all() or (first < 0).any():
        raise ValueError("it holds values out of range")
    return {str(name): (precision[row], first[row]) for row, name in enumerate(names)}


def _names(task: SweepTask) -> list[str]:
    """What each query is known by. Raises OSError for an image that is not there."""
    root = task.dataset.root
    return [
        f"{each.path.as_posix()} {(root / each.path).stat().st_size} {each.identity} {each.camera}"
        for each in task.queries
    ]


def _made_from(task: SweepTask, keep_rate: float) -> str:
    """Everything but the query that a row depends on, as JSON."""
    fingerprint = task.retriever.memory.fingerprint
    if fingerprint is None:
        raise ValueError("this gallery memory has no fingerprint; results of it cannot be kept: open it from disk")
    settings = task.settings.with_keep_rate(keep_rate)
    content: dict[str, Any] = {
        "format": FORMAT,
        "memory": asdict(fingerprint),
        "uses_cameras": task.dataset.uses_cameras,
        "device": task.retriever.device.type,
        "prune": asdict(settings.prune),
        "transport": asdict(settings.transport),
        "variant": settings.variant,
        "shortlist": settings.shortlist,
        "alphas": task.grid.alphas,
        "neighbors": task.grid.neighbors,
    }
    return json.dumps(content, sort_keys=True)
