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
import shutil
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fpc_core.config import PruneSettings
from fpc_core.data.datasets import NO_CAMERA, ImageRecord
from fpc_core.data.images import decode_image, resize_image, to_tensor
from fpc_core.model.checkpoint import weights_fingerprint
from fpc_core.model.fpc import FPC

if sys.platform != "win32":
    import fcntl

FORMAT = 1
BUILD_COMMAND = "python -m fpc_core memory build DATASET"
_HOLISTIC = PruneSettings(keep_rate=1.0)
_READERS = 8  # threads that keep enough reads in flight for a cold solid-state disk
_ARRAYS = ("tokens", "cls", "features")


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
    """The fingerprint of the memory that `model` would make of these images. Opens none of them.

    Raises GalleryMemoryError for an image that is not there.
    """
    listing = []
    for record in records:
        try:
            size = (root / record.path).stat().st_size
        except OSError as error:
            raise GalleryMemoryError(f"{root / record.path} is not there; restore it or its dataset") from error
        listing.append([record.path.as_posix(), size, record.identity, record.camera])
    settings = {"format": FORMAT, "model": asdict(model.config), "prune": asdict(_HOLISTIC)}
    return Fingerprint(weights_fingerprint(model), _digest(settings), _digest(listing))


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
    """Reads rows of a .npy file by `preadv` from a few threads, in file order.

    A gallery row is large and the wanted rows lie far apart. Indexing a mapped file faults them in page after page;
    whole-row reads from several threads are many times faster from a cold disk (benchmarks/memory.py).
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

        def fill(places: np.ndarray) -> None:
            for place in places.tolist():
                view, start = memoryview(raw[place]), self._offset + int(rows[place]) * self._row
                while view:
                    count = os.preadv(self._file, [view], start)
                    if count == 0:
                        raise GalleryMemoryError(
                            f"{self._path} was cut short while in use; build it again: {BUILD_COMMAND}"
                        )
                    view, start = view[count:], start + count

        # One share of the rows for each thread: handing them out one by one costs more than reading a cached row.
        for _ in self._pool.map(fill, np.array_split(np.argsort(rows, kind="stable"), _READERS)):
            pass
        return out


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
    for name in _ARRAYS:
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


@torch.inference_mode()
def build_memory(
    model: FPC,
    records: Sequence[ImageRecord],
    root: Path,
    directory: Path | str,
    *,
    batch_size: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> GalleryMemory:
    """Encode `records` (paths relative to `root`) at keep rate 1 into `directory`, and open it.

    Work is done in `<directory>.partial` and renamed at the end, so that a memory is either whole or not there. An
    interrupted build goes on after the last whole batch and ends with the same bytes as an uninterrupted one; a memory
    that is up to date is opened as it is. Cameras are passed to the model if every record has one.
    progress: called with the images done and their total. Raises GalleryMemoryError, or ImageError for an image.
    """
    directory, root = Path(directory), Path(root)
    if not records or batch_size < 1:
        raise GalleryMemoryError(
            f"a memory needs images ({len(records)}) and a batch size ({batch_size}) of at least 1"
        )
    made_from = fingerprint(model, records, root)
    if (directory / "manifest.json").is_file():
        try:
            return open_memory(directory, expect=made_from)
        except GalleryMemoryError:  # stale or damaged: it stays in place until the new one is whole
            pass
    elif directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise GalleryMemoryError(f"{directory} holds something else than a gallery memory; name another directory")
    partial = directory.with_name(directory.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    training = model.training
    model.eval()
    try:
        with _locked(partial):
            _fill(partial, model, records, root, made_from, batch_size, progress or (lambda done, total: None))
            _move_into_place(partial, directory)
    finally:
        model.train(training)
    return open_memory(directory, expect=made_from)


def _fill(
    partial: Path,
    model: FPC,
    records: Sequence[ImageRecord],
    root: Path,
    made_from: Fingerprint,
    batch_size: int,
    progress: Callable[[int, int], None],
) -> None:
    """Encode what is missing in `partial`; afterwards it is a whole memory but for its place."""
    config, total = model.config, len(records)
    # The batch size belongs to the plan: another one may round differently, and bytes must not depend on a stop.
    plan = {"fingerprint": asdict(made_from), "batch_size": batch_size}
    marker = _read_json(partial / "build.json")
    done = int(marker["done"]) if marker and marker.get("plan") == plan else 0
    shapes = {
        "tokens": (np.float16, (total, config.patches, config.width)),
        "cls": (np.float32, (total, config.width)),
        "features": (np.float32, (total, config.width)),
    }
    if not done:
        for leftover in partial.iterdir():
            if leftover.name != ".lock":
                leftover.unlink()
    arrays = {
        name: np.lib.format.open_memmap(
            partial / f"{name}.npy",
            mode="r+" if done else "w+",
            dtype=None if done else dtype,
            shape=None if done else shape,
        )
        for name, (dtype, shape) in shapes.items()
    }
    device = next(model.parameters()).device
    with_cameras = all(record.camera != NO_CAMERA for record in records)
    progress(done, total)
    for start in range(done, total, batch_size):
        batch = records[start : start + batch_size]
        rows = slice(start, start + len(batch))
        images = [resize_image(decode_image(root / record.path), config.image_size) for record in batch]
        cameras = torch.tensor([record.camera for record in batch], device=device) if with_cameras else None
        tokens = model.encode(to_tensor(images, config).to(device), cameras, _HOLISTIC).tokens
        arrays["cls"][rows] = tokens[:, 0].float().cpu().numpy()
        arrays["features"][rows] = model.global_feature(tokens).float().cpu().numpy()
        half = tokens[:, 1:].to(torch.float16)
        if not bool(torch.isfinite(half).all()):
            raise GalleryMemoryError(f"tokens of {batch[0].path} ... do not fit into float16; check the weights")
        arrays["tokens"][rows] = half.cpu().numpy()
        for array in arrays.values():
            array.flush()
        _write_json(partial / "build.json", {"plan": plan, "done": rows.stop})
        progress(rows.stop, total)
    listing = [[r.path.as_posix(), r.identity, r.camera, r.split] for r in records]
    _write_json(partial / "records.json", listing)
    names = [*(f"{name}.npy" for name in _ARRAYS), "records.json"]
    manifest = {
        "format": FORMAT,
        "grid": list(config.grid),
        "bytes": {name: (partial / name).stat().st_size for name in names},
        "fingerprint": asdict(made_from),
    }
    _write_json(partial / "manifest.json", manifest)


def _move_into_place(partial: Path, directory: Path) -> None:
    """Put the whole new memory where the old one, if any, was. Killed in between, the next build only moves."""
    old = directory.with_name(directory.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if directory.exists():
        directory.rename(old)
    partial.rename(directory)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _locked(partial: Path) -> Iterator[None]:
    """Keep a second process out of the same build. Raises GalleryMemoryError if one is at it."""
    if sys.platform == "win32":
        yield
        return
    lock = partial / ".lock"
    with ExitStack() as stack:
        file = stack.enter_context(lock.open("w"))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise GalleryMemoryError(f"another process is building {partial}; wait for it or stop it") from error
        yield
        (partial.with_name(partial.name.removesuffix(".partial")) / ".lock").unlink(missing_ok=True)


def _read_manifest(directory: Path) -> dict[str, Any]:
    if not directory.is_dir():
        unfinished = directory.with_name(directory.name + ".partial").is_dir()
        why = "was not finished; go on with" if unfinished else "is not there; build it with"
        raise GalleryMemoryError(f"the gallery memory {directory} {why}: {BUILD_COMMAND}")
    manifest = _read_json(directory / "manifest.json")
    if not manifest or not {"format", "grid", "bytes", "fingerprint"} <= set(manifest):
        raise GalleryMemoryError(
            f"{directory} is not a gallery memory; name another folder or build one: {BUILD_COMMAND}"
        )
    if manifest["format"] != FORMAT:
        raise _unusable(directory, f"has format {manifest['format']}, this program reads {FORMAT}")
    return manifest


def _unusable(directory: Path, why: str) -> GalleryMemoryError:
    return GalleryMemoryError(f"the gallery memory {directory} {why}; build it again: {BUILD_COMMAND}")


def _read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file, None where there is no such file or object."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _write_json(path: Path, content: object) -> None:
    """Written whole or not at all."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content), encoding="utf-8")
    temporary.replace(path)


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _unit_rows(rows: np.ndarray) -> np.ndarray:
    values = np.asarray(rows, dtype=np.float32)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)


def _release(file: int, pool: ThreadPoolExecutor) -> None:
    pool.shutdown(wait=False)
    os.close(file)
