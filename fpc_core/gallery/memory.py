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
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fpc_core.config import ModelConfig
from fpc_core.data.datasets import ImageRecord
from fpc_core.gallery.encoder import NO_PRUNING
from fpc_core.gallery.manifest import ARRAYS, FORMAT, RECORDS, TYPES, Fingerprint, read_manifest, unusable
from fpc_core.gallery.readable import UnreadableImage
from fpc_core.gallery.token_store import GalleryMemoryError, TokenShards, file_checksum, token_file
from fpc_core.io.bounded_files import map_array
from fpc_core.io.bounded_files import read_json as read_bounded_json
from fpc_core.io.dataclass_json import to_plain
from fpc_core.model.checkpoint import weights_fingerprint
from fpc_core.model.fpc import FPC

_BLOCK = 65_536  # Number of rows that are normalised at a time.


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
        except PermissionError as error:
            raise GalleryMemoryError(f"no permission to read {root / record.path}; change its permissions") from error
        except OSError as error:
            raise GalleryMemoryError(f"{root / record.path} does not exist; restore it or its dataset") from error
        listing.append([record.path.as_posix(), size, record.identity, record.camera])
    settings = {"format": FORMAT, "model": config.as_dict(), "prune": to_plain(NO_PRUNING)}
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
        fingerprint: Fingerprint of what the gallery memory was built from; None if unknown.
        left_out: Images of the dataset that were left out because they could not be read.
    """

    cls: np.ndarray
    tokens: np.ndarray | TokenShards
    features: np.ndarray
    records: tuple[ImageRecord, ...]
    grid: tuple[int, int]
    fingerprint: Fingerprint | None = None
    left_out: tuple[UnreadableImage, ...] = ()

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
        GalleryMemoryError: The gallery memory is missing, unfinished, truncated, damaged, of another format, or was
            built from other weights, settings or images; the message says how to fix it.
    """
    directory = Path(directory)
    manifest = read_manifest(directory)
    if expect and records and manifest.images != len(records) and manifest.fingerprint == expect:
        raise unusable(directory, f"is damaged: it has {manifest.images:,} images instead of {len(records):,}")
    if expect and (differences := manifest.fingerprint.differences(expect)):
        names = {"weights": "weights or precision", "settings": "model settings", "files": "image files"}
        others = " and ".join(f"other {names[each]}" for each in differences)
        raise unusable(directory, f"was built from {others} than those in use")
    for name, (size, _) in manifest.files.items():
        path = directory / name
        if not path.is_file():
            raise unusable(directory, f"lacks {name}")
        if (actual := path.stat().st_size) != size:
            raise unusable(directory, f"is damaged: {name} has {actual:,} bytes instead of {size:,}")
    try:
        with ThreadPoolExecutor() as pool:  # Checksums release the GIL.
            sums = {name: checksum for name, (_, checksum) in manifest.files.items() if checksum is not None}
            for name, actual in zip(sums, pool.map(lambda name: file_checksum(directory / name), sums), strict=True):
                if actual != sums[name]:
                    raise unusable(directory, f"is damaged: {name} has changed since it was written")
        arrays = {name: map_array(directory / f"{name}.npy") for name in ARRAYS}
        if {name: array.dtype for name, array in arrays.items()} != TYPES:
            raise unusable(directory, f"is damaged: not all of {', '.join(ARRAYS)} have the expected dtype")
        shape = (manifest.images, manifest.grid[0] * manifest.grid[1], manifest.channels)
        paths = [directory / token_file(number) for number in range(manifest.shards)]
        return GalleryMemory(
            cls=arrays["cls"],
            tokens=TokenShards(paths, shape, manifest.shard_images, np.array(arrays["sums"])),
            features=arrays["features"],
            records=tuple(records) if records and expect else _read_records(directory / RECORDS),
            grid=manifest.grid,
            fingerprint=manifest.fingerprint,
            left_out=manifest.left_out,
        )
    except GalleryMemoryError:
        raise
    except (OSError, ValueError, TypeError) as error:
        raise unusable(directory, f"is damaged ({error})") from error


def _read_records(path: Path) -> tuple[ImageRecord, ...]:
    listing = read_bounded_json(path, max_bytes=max(path.stat().st_size, 1))
    return tuple(ImageRecord(Path(image), *rest) for image, *rest in listing)


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _unit_rows(rows: np.ndarray) -> np.ndarray:
    values = np.array(rows, dtype=np.float32)
    for start in range(0, len(values), _BLOCK):  # Blocks limit memory, because computing norms copies the rows.
        block = values[start : start + _BLOCK]
        block /= np.maximum(np.linalg.norm(block, axis=1, keepdims=True), 1e-12)
    return values
