"""The gallery memory (Sec. 3.2): tokens and features of every gallery image, encoded without dropping, on disk.

A gallery memory is a directory with these files (G images, N patches of the full grid, C channels):

    tokens-00000.npy ...  (<= shard_images, N, C) float16  patch tokens in shards, never read whole
    cls.npy               (G, C) float32                   [cls] tokens
    features.npy          (G, C) float32                   global features after the BNNeck
    sums.npy              (G,) uint32                      CRC-32 of every image's tokens
    records.json          the image of every row
    manifest.json         written last: format, shapes, fingerprint, sizes of all files, CRC-32 of all but the tokens

Its fingerprint identifies the weights, the settings and the image files it was built from. Image files are identified
by path, size, identity and camera, because hashing their content would read the whole gallery at every start.
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
PARTIAL = ".partial"  # Suffix of the folder in which a gallery memory is built.
ARRAYS = ("cls", "features", "sums")
RECORDS = "records.json"
MANIFEST = "manifest.json"
MAX_IMAGES = 100_000_000
MAX_CHANNELS = 8_192  # Maximum number of channels; a ViT-G has 1,664.
MAX_GRID = 1_024  # Maximum number of rows or columns of patches.
MAX_SHARDS = 4_096  # Maximum number of files of tokens; a build makes at most 512.
_MAX_HEADER = 4_096  # Maximum size of an .npy header in bytes; our files have 128.
_RECORD_BYTES = 32_768  # Maximum size of one image's record in records.json, for the longest path with escapes.
_TYPES = {"cls": np.dtype("<f4"), "features": np.dtype("<f4"), "sums": np.dtype("<u4")}
_BLOCK = 65_536  # Number of rows that are normalised at a time.


@dataclass(frozen=True)
class Fingerprint:
    """SHA-256 digests, in hex, of the weights, settings and files that a gallery memory was built from."""

    weights: str
    settings: str
    files: str

    def differences(self, other: Fingerprint) -> list[str]:
        """Return the names of the parts that differ."""
        return [each.name for each in fields(self) if getattr(self, each.name) != getattr(other, each.name)]


def fingerprint(model: FPC, records: Sequence[ImageRecord], root: Path) -> Fingerprint:
    """Return the fingerprint of the gallery memory that a model would build from these images.

    Args:
        model: Model that would encode the images.
        records: Records of the gallery images.
        root: Folder that the paths of `records` are relative to.
    """
    return fingerprint_of(weights_fingerprint(model), model.config, records, root)


def fingerprint_of(weights: str, config: ModelConfig, records: Sequence[ImageRecord], root: Path) -> Fingerprint:
    """Return the fingerprint of the gallery memory that a model would build, without opening any image.

    Args:
        weights: `weights_fingerprint` of the model.
        config: Architecture of the model.
        records: Records of the gallery images.
        root: Folder that the paths of `records` are relative to.

    Raises:
        GalleryMemoryError: An image does not exist.
    """
    listing = []
    for record in records:
        try:
            # os.path is used because pathlib takes seconds for half a million files.
            size = os.stat(os.path.join(root, record.path)).st_size
        except OSError as error:
            raise GalleryMemoryError(f"{root / record.path} does not exist; restore it or its dataset") from error
        listing.append([record.path.as_posix(), size, record.identity, record.camera])
    settings = {"format": FORMAT, "model": asdict(config), "prune": asdict(NO_PRUNING)}
    return Fingerprint(weights, _digest(settings), _digest(listing))


@dataclass(frozen=True, eq=False)
class GalleryMemory:
    """The encoded gallery; row g of every array and `records[g]` belong to the same image.

    Attributes:
        cls: (G, C) float32 `[cls]` tokens.
        tokens: (G, N, C) patch tokens: `TokenShards`, which reads them from disk, or a float array in RAM.
        features: (G, C) float32 global features after the BNNeck.
        records: Records of the G images.
        grid: Rows and columns of the patch grid; N = rows * columns.
        fingerprint: Fingerprint of what it was built from; None if unknown.
    """

    cls: np.ndarray
    tokens: np.ndarray | TokenShards
    features: np.ndarray
    records: tuple[ImageRecord, ...]
    grid: tuple[int, int]
    fingerprint: Fingerprint | None = None

    def __post_init__(self) -> None:
        images, channels = self.cls.shape
        expected = {"tokens": (images, self.grid[0] * self.grid[1], channels), "features": (images, channels)}
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must have shape {shape}, got {getattr(self, name).shape}")
        if len(self.records) != images:
            raise ValueError(f"records must have one entry per image, {images}, got {len(self.records)}")

    def __len__(self) -> int:
        return len(self.cls)

    @cached_property
    def unit_cls(self) -> np.ndarray:
        """L2-normalised `[cls]` tokens in RAM, (G, C) float32."""
        return _unit_rows(self.cls)

    @cached_property
    def unit_features(self) -> np.ndarray:
        """L2-normalised features in RAM, (G, C) float32."""
        return _unit_rows(self.features)

    def patches(self, rows: np.ndarray | Sequence[int], device: torch.device | str | None = None) -> Tensor:
        """Return the patch tokens of S images.

        Args:
            rows: (S,) rows of the images, in any order.
            device: Device of the result; the CPU by default.

        Returns:
            (S, N, C) contiguous float32, in the order of `rows`.

        Raises:
            GalleryMemoryError: The stored tokens are damaged.
        """
        tokens = torch.from_numpy(np.ascontiguousarray(self.tokens[self.checked_rows(rows)]))
        # The conversion to float32 runs on the device, which halves the transfer.
        return (tokens if device is None else tokens.to(device)).float()

    def checked_rows(self, rows: np.ndarray | Sequence[int]) -> np.ndarray:
        """Return `rows` as (S,) int64 after checking their range.

        Raises:
            ValueError: A row is out of range.
        """
        indices = np.asarray(rows, dtype=np.int64)
        if indices.ndim != 1 or (indices.size and not 0 <= indices.min() <= indices.max() < len(self)):
            raise ValueError(f"rows must be a list of integers in 0..{len(self) - 1}, got {rows}")
        return indices


@dataclass(frozen=True)
class Manifest:
    """Content of manifest.json.

    Attributes:
        fingerprint: Fingerprint of what the gallery memory was built from.
        images: Number of images.
        grid: Rows and columns of the patch grid.
        channels: Number of channels (C).
        shard_images: Number of images in each file of tokens except the last.
        batch_size: Batch size of the encoder; another batch size may round differently.
        files: Size in bytes of every other file, and its CRC-32 (None for files of tokens).
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
        """Number of files of tokens."""
        return -(-self.images // self.shard_images)

    def to_json(self) -> dict[str, Any]:
        """Return the content of manifest.json."""
        return {"format": FORMAT, **asdict(self)}


def open_memory(
    directory: Path | str, *, expect: Fingerprint | None = None, records: Sequence[ImageRecord] | None = None
) -> GalleryMemory:
    """Open a gallery memory, and check all files except the tokens against their checksums.

    Args:
        directory: Folder of the gallery memory.
        expect: Fingerprint that the gallery memory must have (see `fingerprint`).
        records: Records of the images that `expect` describes. They replace the stored list, which takes seconds to
            read for half a million images.

    Raises:
        GalleryMemoryError: It is missing, unfinished, truncated, damaged, of another format, or was built from
            something else; the message says how to fix it.
    """
    directory = Path(directory)
    manifest = _read_manifest(directory)
    if expect and records and manifest.images != len(records) and manifest.fingerprint == expect:
        raise _unusable(directory, f"is damaged: it has {manifest.images:,} images instead of {len(records):,}")
    if expect and (differences := manifest.fingerprint.differences(expect)):
        names = {"weights": "weights or precision", "settings": "model settings", "files": "image files"}
        others = " and ".join(f"other {names[each]}" for each in differences)
        raise _unusable(directory, f"was built from {others} than those in use")
    for name, (size, _) in manifest.files.items():
        path = directory / name
        if not path.is_file():
            raise _unusable(directory, f"lacks {name}")
        if (actual := path.stat().st_size) != size:
            raise _unusable(directory, f"is damaged: {name} has {actual:,} bytes instead of {size:,}")
    try:
        with ThreadPoolExecutor() as pool:  # Checksums release the GIL.
            sums = {name: checksum for name, (_, checksum) in manifest.files.items() if checksum is not None}
            for name, actual in zip(sums, pool.map(lambda name: file_checksum(directory / name), sums), strict=True):
                if actual != sums[name]:
                    raise _unusable(directory, f"is damaged: {name} has changed since it was written")
        arrays = {name: map_array(directory / f"{name}.npy") for name in ARRAYS}
        if {name: array.dtype for name, array in arrays.items()} != _TYPES:
            raise _unusable(directory, f"is damaged: {', '.join(ARRAYS)} do not have the expected dtypes")
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
    """Return the fingerprint of a gallery memory, of which only the manifest is read.

    Raises:
        GalleryMemoryError: It is missing, unfinished, of another format, or its manifest is damaged.
    """
    return _read_manifest(directory).fingerprint


def _read_manifest(directory: Path) -> Manifest:
    if not directory.is_dir():
        unfinished = directory.with_name(directory.name + PARTIAL).is_dir()
        why = "is unfinished; resume its build with" if unfinished else "does not exist; build it with"
        raise GalleryMemoryError(f"the gallery memory {directory} {why}: {BUILD_COMMAND}")
    try:
        content = read_bounded_json(directory / MANIFEST)
    except UnusableFileError as error:
        raise _unusable(directory, f"cannot be read: {error}") from error
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict) or not content or "format" not in content:
        raise GalleryMemoryError(
            f"{directory} is not a gallery memory; choose another folder or build one: {BUILD_COMMAND}"
        )
    if content.pop("format") != FORMAT:
        raise _unusable(directory, f"does not have format {FORMAT}, the only one that this program reads")
    try:
        content["fingerprint"] = Fingerprint(**content["fingerprint"])
        rows, columns = content["grid"]
        content["grid"] = (int(rows), int(columns))
        content["files"] = {str(name): (int(size), checksum) for name, (size, checksum) in content["files"].items()}
        manifest = Manifest(**content)
        _check_numbers(manifest)
        others = {*(f"{name}.npy" for name in ARRAYS), RECORDS}
        tokens = set(map(token_file, range(len(manifest.files) - len(others))))
        if len(tokens) != manifest.shards or set(manifest.files) != others | tokens:
            raise ValueError("it does not list the expected files")
        _check_sizes(manifest)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise _unusable(directory, f"is damaged: {MANIFEST} cannot be read ({error})") from error
    return manifest


def _check_numbers(manifest: Manifest) -> None:
    """Raise ValueError if a number in the manifest is out of range."""
    limits = {
        "images": (manifest.images, MAX_IMAGES),
        "channels": (manifest.channels, MAX_CHANNELS),
        "rows of its grid": (manifest.grid[0], MAX_GRID),
        "columns of its grid": (manifest.grid[1], MAX_GRID),
        "shard_images": (manifest.shard_images, MAX_IMAGES),
    }
    for name, (value, limit) in limits.items():
        if type(value) is not int or not 1 <= value <= limit:
            raise ValueError(f"{name} must be in 1..{limit:,}, got {str(value)[:40]}")
    if manifest.shards > MAX_SHARDS:
        raise ValueError(f"it lists {manifest.shards:,} files of tokens, the limit is {MAX_SHARDS:,}")


def _check_sizes(manifest: Manifest) -> None:
    """Raise ValueError if file sizes do not match the images, before the checksum of a huge file is computed."""
    images, row = manifest.images, manifest.grid[0] * manifest.grid[1] * manifest.channels * TOKEN_TYPE.itemsize
    vectors = images * manifest.channels * _TYPES["cls"].itemsize
    expected = {"cls.npy": vectors, "features.npy": vectors, "sums.npy": images * _TYPES["sums"].itemsize}
    for number in range(manifest.shards):
        expected[token_file(number)] = row * min(manifest.shard_images, images - number * manifest.shard_images)
    for name, size in expected.items():
        if not size <= manifest.files[name][0] <= size + _MAX_HEADER:
            raise ValueError(f"{name} must have {size:,} bytes and a header, got {manifest.files[name][0]:,}")
    if not 0 <= manifest.files[RECORDS][0] <= _MAX_HEADER + images * _RECORD_BYTES:
        raise ValueError(f"{RECORDS} has {manifest.files[RECORDS][0]:,} bytes, too many for {images:,} images")


def _read_records(path: Path) -> tuple[ImageRecord, ...]:
    listing = read_bounded_json(path, max_bytes=max(path.stat().st_size, 1))
    return tuple(ImageRecord(Path(image), *rest) for image, *rest in listing)


def _unusable(directory: Path, why: str) -> GalleryMemoryError:
    return GalleryMemoryError(f"the gallery memory {directory} {why}; build it again: {BUILD_COMMAND}")


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object in a JSON file; None if it is missing, invalid, too large or not an object."""
    try:
        content = read_bounded_json(path)
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def write_json(path: Path, content: object) -> None:
    """Write a JSON file atomically; only one process at a time may write it.

    Args:
        path: Path of the file.
        content: Value to write, which JSON must support.
    """
    with atomic_write(path, exclusive=True) as partial:
        partial.write_text(json.dumps(content), encoding="utf-8")


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _unit_rows(rows: np.ndarray) -> np.ndarray:
    values = np.array(rows, dtype=np.float32)
    for start in range(0, len(values), _BLOCK):  # Blocks limit memory, because computing norms copies the rows.
        block = values[start : start + _BLOCK]
        block /= np.maximum(np.linalg.norm(block, axis=1, keepdims=True), 1e-12)
    return values
