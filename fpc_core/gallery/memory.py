"""The gallery memory (Sec. 3.2): every gallery image encoded once, without dropping, and kept on disk.

A memory is a directory. G images, N patches of the full grid, C channels:

    tokens-00000.npy ...  (<= shard_images, N, C) float16  patch tokens in shards, never read whole
    cls.npy               (G, C) float32                   [cls] tokens
    features.npy          (G, C) float32                   global features after the BNNeck
    sums.npy              (G,) uint32                      CRC-32 of every image's tokens
    records.json          what every row is
    manifest.json         written last: format, shapes, fingerprint, sizes of all files, CRC-32 of all but the tokens

It is bound to the weights, the settings and the image files it was made from. Files are told by path, size and camera:
hashing their content as well would read the whole gallery at every start.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fpc_core.config import ModelConfig
from fpc_core.data.datasets import ImageRecord
from fpc_core.gallery.encoder import NO_PRUNING
from fpc_core.gallery.token_store import (
    BUILD_COMMAND,
    TOKEN_TYPE,
    GalleryMemoryError,
    TokenShards,
    file_checksum,
    token_file,
)
from fpc_core.io.atomic_write import atomic_write
from fpc_core.io.bounded_files import UnusableFileError, map_array
from fpc_core.io.bounded_files import read_json as read_bounded_json
from fpc_core.model.checkpoint import weights_fingerprint
from fpc_core.model.fpc import FPC

FORMAT = 2
PARTIAL = ".partial"  # what a folder's name ends with while its memory is being built
ARRAYS = ("cls", "features", "sums")
RECORDS = "records.json"
MANIFEST = "manifest.json"
MAX_IMAGES = 100_000_000
MAX_CHANNELS = 8_192  # a ViT-G has 1,664
MAX_GRID = 1_024  # rows or columns of patches
MAX_SHARDS = 4_096  # a build makes 512 at most
_MAX_HEADER = 4_096  # bytes before the numbers of an .npy file; ours has 128
_RECORD_BYTES = 32_768  # of one image in records.json: the longest path, escaped
_TYPES = {"cls": np.dtype("<f4"), "features": np.dtype("<f4"), "sums": np.dtype("<u4")}
_BLOCK = 65_536  # rows made unit vectors at once


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
            size = os.stat(os.path.join(root, record.path)).st_size  # pathlib's way takes seconds for half a million
        except OSError as error:
            raise GalleryMemoryError(f"{root / record.path} is not there; restore it or its dataset") from error
        listing.append([record.path.as_posix(), size, record.identity, record.camera])
    settings = {"format": FORMAT, "model": asdict(config), "prune": asdict(NO_PRUNING)}
    return Fingerprint(weights, _digest(settings), _digest(listing))


@dataclass(frozen=True, eq=False)
class GalleryMemory:
    """The encoded gallery. Row g of every array and `records[g]` are the same image.

    cls: (G, C) float32.  tokens: (G, N, C), left on the disk where the memory was opened from there; any float array in
    RAM will do.  features: (G, C) float32, after the BNNeck.  grid: rows and columns, N = rows * columns.
    """

    cls: np.ndarray
    tokens: np.ndarray | TokenShards
    features: np.ndarray
    records: tuple[ImageRecord, ...]
    grid: tuple[int, int]
    fingerprint: Fingerprint | None = None

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
        """Patch tokens of S images in the order of `rows`: contiguous float32 (S, N, C) on `device` (default CPU).

        Raises GalleryMemoryError for tokens that are not those that were written.
        """
        tokens = torch.from_numpy(np.ascontiguousarray(self.tokens[self.known_rows(rows)]))
        return (tokens if device is None else tokens.to(device)).float()  # converted where it is used: half the copy

    def known_rows(self, rows: np.ndarray | Sequence[int]) -> np.ndarray:
        """`rows` as (S,) int64. Raises ValueError where one is not of this memory."""
        wanted = np.asarray(rows, dtype=np.int64)
        if wanted.ndim != 1 or (wanted.size and not 0 <= wanted.min() <= wanted.max() < len(self)):
            raise ValueError(f"rows must be a list of numbers in 0..{len(self) - 1}, not {rows}")
        return wanted


@dataclass(frozen=True)
class Manifest:
    """What a memory says of itself. batch_size: it was encoded with; another one may round differently.

    files: of every file but the manifest its size in bytes and, but for tokens, its CRC-32.
    """

    fingerprint: Fingerprint
    images: int
    grid: tuple[int, int]
    channels: int
    shard_images: int
    batch_size: int
    files: dict[str, tuple[int, int | None]]

    @property
    def shards(self) -> int:
        """How many files the tokens are in."""
        return -(-self.images // self.shard_images)

    def to_json(self) -> dict[str, Any]:
        """What manifest.json holds."""
        return {"format": FORMAT, **asdict(self)}


def open_memory(
    directory: Path | str, *, expect: Fingerprint | None = None, records: Sequence[ImageRecord] | None = None
) -> GalleryMemory:
    """Open a memory. The tokens are not read; everything else is, and held against its checksum.

    expect: what it must have been made from (see `fingerprint`).  records: the images that `expect` tells of; the
    memory's own list is the same then, and for half a million images not reading it saves seconds.
    Raises GalleryMemoryError, which names the remedy, for a memory that is missing, unfinished, truncated, damaged, of
    another format, or made from anything else.
    """
    directory = Path(directory)
    manifest = _read_manifest(directory)
    if expect and records and manifest.images != len(records) and manifest.fingerprint == expect:
        raise _unusable(directory, f"is damaged: it holds {manifest.images:,} images instead of {len(records):,}")
    if expect and (differences := manifest.fingerprint.differences(expect)):
        names = {"weights": "weights or precision", "settings": "model settings", "files": "image files"}
        others = " and ".join(f"other {names[each]}" for each in differences)
        raise _unusable(directory, f"was made from {others} than those in use")
    for name, (size, _) in manifest.files.items():
        path = directory / name
        if not path.is_file():
            raise _unusable(directory, f"lacks {name}")
        if (held := path.stat().st_size) != size:
            raise _unusable(directory, f"is damaged: {name} has {held:,} bytes instead of {size:,}")
    try:
        with ThreadPoolExecutor() as pool:  # checksums leave the interpreter to others
            sums = {name: told for name, (_, told) in manifest.files.items() if told is not None}
            for name, found in zip(sums, pool.map(lambda name: file_checksum(directory / name), sums), strict=True):
                if found != sums[name]:
                    raise _unusable(directory, f"is damaged: {name} does not hold what was written")
        arrays = {name: map_array(directory / f"{name}.npy") for name in ARRAYS}
        if {name: array.dtype for name, array in arrays.items()} != _TYPES:
            raise _unusable(directory, f"is damaged: {', '.join(ARRAYS)} hold other numbers than were written")
        shape = (manifest.images, manifest.grid[0] * manifest.grid[1], manifest.channels)
        paths = [directory / token_file(number) for number in range(manifest.shards)]
        return GalleryMemory(
            cls=arrays["cls"],
            tokens=TokenShards(paths, shape, manifest.shard_images, np.array(arrays["sums"])),
            features=arrays["features"],
            records=tuple(records) if records and expect else _read_records(directory / RECORDS),
            grid=manifest.grid,
            fingerprint=manifest.fingerprint,
        )
    except GalleryMemoryError:
        raise
    except (OSError, ValueError, TypeError) as error:
        raise _unusable(directory, f"is damaged ({error})") from error


def read_fingerprint(directory: Path) -> Fingerprint:
    """Return what a memory says it was made from; nothing but its manifest is read.

    Raises:
        GalleryMemoryError: For a memory that is missing, unfinished, of another format, or whose manifest is damaged.
    """
    return _read_manifest(directory).fingerprint


def _read_manifest(directory: Path) -> Manifest:
    if not directory.is_dir():
        unfinished = directory.with_name(directory.name + PARTIAL).is_dir()
        why = "was not finished; go on with" if unfinished else "is not there; build it with"
        raise GalleryMemoryError(f"the gallery memory {directory} {why}: {BUILD_COMMAND}")
    try:
        told = read_bounded_json(directory / MANIFEST)
    except UnusableFileError as error:
        raise _unusable(directory, f"cannot be read: {error}") from error
    except (OSError, ValueError):
        told = None
    if not isinstance(told, dict) or not told or "format" not in told:
        raise GalleryMemoryError(
            f"{directory} is not a gallery memory; name another folder or build one: {BUILD_COMMAND}"
        )
    if told.pop("format") != FORMAT:
        raise _unusable(directory, f"has another format than {FORMAT}, which this program reads")
    try:
        told["fingerprint"] = Fingerprint(**told["fingerprint"])
        rows, columns = told["grid"]
        told["grid"] = (int(rows), int(columns))
        told["files"] = {str(name): (int(size), told_sum) for name, (size, told_sum) in told["files"].items()}
        manifest = Manifest(**told)
        _check_numbers(manifest)
        others = {*(f"{name}.npy" for name in ARRAYS), RECORDS}
        tokens = set(map(token_file, range(len(manifest.files) - len(others))))
        if len(tokens) != manifest.shards or set(manifest.files) != others | tokens:
            raise ValueError("other files than it needs")
        _check_sizes(manifest)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise _unusable(directory, f"is damaged: {MANIFEST} cannot be read ({error})") from error
    return manifest


def _check_numbers(manifest: Manifest) -> None:
    """Raises ValueError for numbers that no memory has."""
    most = {
        "images": (manifest.images, MAX_IMAGES),
        "channels": (manifest.channels, MAX_CHANNELS),
        "rows of its grid": (manifest.grid[0], MAX_GRID),
        "columns of its grid": (manifest.grid[1], MAX_GRID),
        "shard_images": (manifest.shard_images, MAX_IMAGES),
    }
    for name, (value, bound) in most.items():
        if type(value) is not int or not 1 <= value <= bound:
            raise ValueError(f"{name} must be in 1..{bound:,}, got {str(value)[:40]}")
    if manifest.shards > MAX_SHARDS:
        raise ValueError(f"it has {manifest.shards:,} files of tokens, the limit is {MAX_SHARDS:,}")


def _check_sizes(manifest: Manifest) -> None:
    """Raises ValueError for a file that is larger or smaller than its images need: its checksum would take for ever."""
    images, row = manifest.images, manifest.grid[0] * manifest.grid[1] * manifest.channels * TOKEN_TYPE.itemsize
    vectors = images * manifest.channels * _TYPES["cls"].itemsize
    needed = {"cls.npy": vectors, "features.npy": vectors, "sums.npy": images * _TYPES["sums"].itemsize}
    for number in range(manifest.shards):
        needed[token_file(number)] = row * min(manifest.shard_images, images - number * manifest.shard_images)
    for name, least in needed.items():
        if not least <= manifest.files[name][0] <= least + _MAX_HEADER:
            raise ValueError(f"{name} must have {least:,} bytes and a header, got {manifest.files[name][0]:,}")
    if not 0 <= manifest.files[RECORDS][0] <= _MAX_HEADER + images * _RECORD_BYTES:
        raise ValueError(f"{RECORDS} has {manifest.files[RECORDS][0]:,} bytes, more than {images:,} images need")


def _read_records(path: Path) -> tuple[ImageRecord, ...]:
    listing = read_bounded_json(path, max_bytes=max(path.stat().st_size, 1))
    return tuple(ImageRecord(Path(image), *rest) for image, *rest in listing)


def _unusable(directory: Path, why: str) -> GalleryMemoryError:
    return GalleryMemoryError(f"the gallery memory {directory} {why}; build it again: {BUILD_COMMAND}")


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file, None where there is no such file or object, or one that is too large."""
    try:
        found = read_bounded_json(path)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def write_json(path: Path, content: object) -> None:
    """`atomic_write`, by one process alone."""
    with atomic_write(path, exclusive=True) as place:
        place.write_text(json.dumps(content), encoding="utf-8")


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _unit_rows(rows: np.ndarray) -> np.ndarray:
    values = np.array(rows, dtype=np.float32)
    for start in range(0, len(values), _BLOCK):  # the norm needs as much again as its rows
        block = values[start : start + _BLOCK]
        block /= np.maximum(np.linalg.norm(block, axis=1, keepdims=True), 1e-12)
    return values
