"""The gallery memory (Sec. 3.2): every gallery image encoded once, without dropping, and kept on disk.

A memory is a directory. G images, N patches of the full grid, C channels:

    tokens.npy    (G, N, C) float16  patch tokens, mapped and never read whole
    cls.npy       (G, C) float32     [cls] tokens
    features.npy  (G, C) float32     global features after the BNNeck
    records.json  what every row is
    manifest.json written last: format, shapes, sizes in bytes and the fingerprint

It is bound to the weights, the settings and the image files it was made from. Files are told by path, size and camera:
hashing their content as well would read the whole gallery at every start.
"""

from __future__ import annotations

import hashlib
import json
import os
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fpc_core.config import ModelConfig, PruneSettings
from fpc_core.data.datasets import ImageRecord
from fpc_core.model.checkpoint import weights_fingerprint
from fpc_core.model.fpc import FPC

FORMAT = 1
PARTIAL = ".partial"  # what a folder's name ends with while its memory is being built
BUILD_COMMAND = "python -m fpc_core memory build DATASET"
HOLISTIC = PruneSettings(keep_rate=1.0)
_READERS = 8  # threads that keep enough reads in flight for a cold solid-state disk
_NO_WAIT = getattr(os, "RWF_NOWAIT", 0)  # of Linux
ARRAYS = ("tokens", "cls", "features")


class GalleryMemoryError(ValueError):
    """A gallery memory cannot be used; the message names what is wrong with it and the remedy."""


@dataclass(frozen=True)
class Fingerprint:
    """What a memory was made from, each a SHA-256 in hex."""

    weights: str
    settings: str
    files: str

    def differences(self, other: Fingerprint) -> list[str]:
        """Which of the three differ, by name."""
        return [each.name for each in fields(self) if getattr(self, each.name) != getattr(other, each.name)]


def fingerprint(model: FPC, records: Sequence[ImageRecord], root: Path) -> Fingerprint:
    """`fingerprint_of` this model."""
    return fingerprint_of(weights_fingerprint(model), model.config, records, root)


def fingerprint_of(weights: str, config: ModelConfig, records: Sequence[ImageRecord], root: Path) -> Fingerprint:
    """The fingerprint of the memory that a model would make of these images. Opens none of them.

    weights: `weights_fingerprint` of the model. Raises GalleryMemoryError for an image that is not there.
    """
    listing = []
    for record in records:
        try:
            size = (root / record.path).stat().st_size
        except OSError as error:
            raise GalleryMemoryError(f"{root / record.path} is not there; restore it or its dataset") from error
        listing.append([record.path.as_posix(), size, record.identity, record.camera])
    settings = {"format": FORMAT, "model": asdict(config), "prune": asdict(HOLISTIC)}
    return Fingerprint(weights, _digest(settings), _digest(listing))


@dataclass(frozen=True, eq=False)
class GalleryMemory:
    """The encoded gallery. Row g of every array and `records[g]` are the same image.

    cls: (G, C) float32.  tokens: (G, N, C), float16 and mapped where it was opened from disk; any float array in RAM
    will do.  features: (G, C) float32, after the BNNeck.  grid: rows and columns, N = rows * columns.
    """

    cls: np.ndarray
    tokens: np.ndarray
    features: np.ndarray
    records: tuple[ImageRecord, ...]
    grid: tuple[int, int]
    fingerprint: Fingerprint | None = None
    reader: RowReader | None = None

    def __post_init__(self) -> None:
        images, channels = self.cls.shape
        wanted = {"tokens": (images, self.grid[0] * self.grid[1], channels), "features": (images, channels)}
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must have shape {shape}, not {getattr(self, name).shape}")
        if len(self.records) != images:
            raise ValueError(f"{images} images need as many records, not {len(self.records)}")

    def __len__(self) -> int:
        return len(self.cls)

    @cached_property
    def unit_cls(self) -> np.ndarray:
        """(G, C) float32, L2-normalised, in RAM."""
        return _unit_rows(self.cls)

    @cached_property
    def unit_features(self) -> np.ndarray:
        """(G, C) float32, L2-normalised, in RAM."""
        return _unit_rows(self.features)

    def patches(self, rows: np.ndarray | Sequence[int], device: torch.device | str | None = None) -> Tensor:
        """Patch tokens of S images in the order of `rows`: contiguous float32 (S, N, C) on `device` (default CPU)."""
        wanted = np.asarray(rows, dtype=np.int64)
        if wanted.ndim != 1 or (wanted.size and not 0 <= wanted.min() <= wanted.max() < len(self)):
            raise ValueError(f"rows must be a list of numbers in 0..{len(self) - 1}, not {rows}")
        found = self.reader.read(wanted) if self.reader else self.tokens[wanted]
        tokens = torch.from_numpy(np.ascontiguousarray(found))
        return (tokens if device is None else tokens.to(device)).float()  # converted where it is used: half the copy


class RowReader:
    """Reads rows of a .npy file by `preadv`: what the system has cached at once, the rest from a few threads.

    A gallery row is large and the wanted rows lie far apart. Indexing a mapped file faults them in page after page;
    whole-row reads from several threads are many times faster from a cold disk (benchmarks/memory.py). Cached rows
    gain nothing from threads, which wait for the interpreter whenever another one computes.
    """

    def __init__(self, path: Path, array: np.memmap) -> None:
        self._path = path
        self._offset = array.offset
        self._row = array.dtype.itemsize * int(np.prod(array.shape[1:]))
        self._shape = array.shape[1:]
        self._dtype = array.dtype
        self._file = os.open(path, os.O_RDONLY)
        self._pool = ThreadPoolExecutor(_READERS, thread_name_prefix="gallery-memory")
        weakref.finalize(self, _release, self._file, self._pool)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """(S, ...) in the order of `rows` (S,). Raises GalleryMemoryError where the file has ended early."""
        out = np.empty((len(rows), *self._shape), self._dtype)
        raw = out.reshape(len(rows), int(np.prod(self._shape))).view(np.uint8)
        starts = [self._offset + row * self._row for row in rows.tolist()]

        def fill(places: Sequence[int]) -> None:
            for place in places:
                view, start = memoryview(raw[place]), starts[place]
                while view:
                    count = os.preadv(self._file, [view], start)
                    if count == 0:
                        raise GalleryMemoryError(
                            f"{self._path} was cut short while in use; build it again: {BUILD_COMMAND}"
                        )
                    view, start = view[count:], start + count

        order = sorted(range(len(starts)), key=starts.__getitem__)
        missing = [place for place in order if not self._cached(memoryview(raw[place]), starts[place])]
        if missing:  # handing them out one by one would cost more than reading a row
            for _ in self._pool.map(fill, [part.tolist() for part in np.array_split(missing, _READERS)]):
                pass
        return out

    def _cached(self, row: memoryview, start: int) -> bool:
        """Fill one row without waiting for the disk; False where that is not possible."""
        if not _NO_WAIT:
            return False
        try:
            return os.preadv(self._file, [row], start, _NO_WAIT) == self._row
        except OSError:  # not cached, or a file system that cannot tell
            return False


def open_memory(directory: Path | str, *, expect: Fingerprint | None = None) -> GalleryMemory:
    """Open a memory by mapping it; nothing but the records is read.

    expect: what it must have been made from (see `fingerprint`). Raises GalleryMemoryError, which names the remedy, for
    a memory that is missing, unfinished, truncated, of another format, or made from anything else.
    """
    directory = Path(directory)
    manifest = _read_manifest(directory)
    made_from = Fingerprint(**manifest["fingerprint"])
    if expect and (differences := made_from.differences(expect)):
        names = {"weights": "weights", "settings": "model settings", "files": "image files"}
        others = " and ".join(f"other {names[each]}" for each in differences)
        raise _unusable(directory, f"was made from {others} than those in use")
    arrays: dict[str, np.memmap] = {}
    for name in ARRAYS:
        path = directory / f"{name}.npy"
        if not path.is_file():
            raise _unusable(directory, f"lacks {path.name}")
        held, wanted = path.stat().st_size, manifest["bytes"][path.name]
        if held != wanted:
            raise _unusable(directory, f"is damaged: {path.name} has {held:,} bytes instead of {wanted:,}")
        arrays[name] = np.lib.format.open_memmap(path, mode="r")
    try:
        listing = json.loads((directory / "records.json").read_text(encoding="utf-8"))
        return GalleryMemory(
            **arrays,
            records=tuple(ImageRecord(Path(path), *rest) for path, *rest in listing),
            grid=tuple(manifest["grid"]),
            fingerprint=made_from,
            reader=RowReader(directory / "tokens.npy", arrays["tokens"]) if hasattr(os, "preadv") else None,
        )
    except (OSError, ValueError, TypeError) as error:
        raise _unusable(directory, f"is damaged ({error})") from error


def _read_manifest(directory: Path) -> dict[str, Any]:
    if not directory.is_dir():
        unfinished = directory.with_name(directory.name + PARTIAL).is_dir()
        why = "was not finished; go on with" if unfinished else "is not there; build it with"
        raise GalleryMemoryError(f"the gallery memory {directory} {why}: {BUILD_COMMAND}")
    manifest = read_json(directory / "manifest.json")
    if not manifest or not {"format", "grid", "bytes", "fingerprint"} <= set(manifest):
        raise GalleryMemoryError(
            f"{directory} is not a gallery memory; name another folder or build one: {BUILD_COMMAND}"
        )
    if manifest["format"] != FORMAT:
        raise _unusable(directory, f"has format {manifest['format']}, this program reads {FORMAT}")
    return manifest


def _unusable(directory: Path, why: str) -> GalleryMemoryError:
    return GalleryMemoryError(f"the gallery memory {directory} {why}; build it again: {BUILD_COMMAND}")


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file, None where there is no such file or object."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _unit_rows(rows: np.ndarray) -> np.ndarray:
    values = np.asarray(rows, dtype=np.float32)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)


def _release(file: int, pool: ThreadPoolExecutor) -> None:
    pool.shutdown(wait=False)
    os.close(file)
