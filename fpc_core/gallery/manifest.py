"""Read and write manifest.json, which describes what a gallery memory was built from, and its files with checksums."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from fpc_core.gallery.readable import MAX_LEFT_OUT, UnreadableImage
from fpc_core.gallery.token_store import BUILD_COMMAND, TOKEN_TYPE, GalleryMemoryError, token_file
from fpc_core.io.atomic_write import atomic_write
from fpc_core.io.bounded_files import UnusableFileError
from fpc_core.io.bounded_files import read_json as read_bounded_json

FORMAT = 2
PARTIAL = ".partial"  # Suffix of the folder in which a gallery memory is built.
ARRAYS = ("cls", "features", "sums")
RECORDS = "records.json"
MANIFEST = "manifest.json"
PLAN = "plan.json"  # The manifest of an unfinished build.
MAX_IMAGES = 100_000_000
MAX_CHANNELS = 8_192  # Maximum number of channels; a ViT-G has 1,664.
MAX_GRID = 1_024  # Maximum number of rows or columns of patches.
MAX_SHARDS = 4_096  # Maximum number of files of tokens; a build makes at most 512.
_MAX_HEADER = 4_096  # Maximum size of an .npy header in bytes; our files have 128.
_RECORD_BYTES = 32_768  # Maximum size of one image's record in records.json, for the longest path with escapes.
TYPES = {"cls": np.dtype("<f4"), "features": np.dtype("<f4"), "sums": np.dtype("<u4")}


@dataclass(frozen=True)
class Fingerprint:
    """SHA-256 digests, in hex, of the weights, settings and files that a gallery memory was built from."""

    weights: str
    settings: str
    files: str

    def differences(self, other: Fingerprint) -> list[str]:
        """Return the names of the parts that differ."""
        return [each.name for each in fields(self) if getattr(self, each.name) != getattr(other, each.name)]


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
        left_out: Images that were left out because they could not be read.
    """

    fingerprint: Fingerprint
    images: int
    grid: tuple[int, int]
    channels: int
    shard_images: int
    batch_size: int
    files: dict[str, tuple[int, int | None]]
    left_out: tuple[UnreadableImage, ...] = ()

    @property
    def shards(self) -> int:
        """Number of files of tokens."""
        return -(-self.images // self.shard_images)

    def to_json(self) -> dict[str, Any]:
        """Return the content of manifest.json; `left_out` is included only if images were left out."""
        content = {"format": FORMAT, **asdict(self)}
        left_out = [[each.path, each.why] for each in self.left_out]
        return {name: value for name, value in content.items() if name != "left_out"} | (
            {"left_out": left_out} if left_out else {}
        )


def read_fingerprint(directory: Path) -> Fingerprint:
    """Read only the manifest of a gallery memory, and return its fingerprint.

    Raises:
        GalleryMemoryError: The gallery memory is missing, unfinished or of another format, or its manifest is damaged.
    """
    return read_manifest(directory).fingerprint


def read_left_out(directory: Path) -> tuple[UnreadableImage, ...]:
    """Return the images that a gallery memory, or its unfinished build, leaves out; none if it cannot be read.

    Args:
        directory: Folder of the gallery memory.
    """
    unfinished = directory.with_name(directory.name + PARTIAL)
    for path in (directory / MANIFEST, unfinished / MANIFEST, unfinished / PLAN):
        content = read_json(path)
        if content is not None:
            try:
                return _left_out(content)
            except (TypeError, ValueError):
                return ()  # `open_memory` reports what is wrong.
    return ()


def _left_out(content: dict[str, Any]) -> tuple[UnreadableImage, ...]:
    """Return the images that a manifest leaves out, and raise ValueError or TypeError if it is damaged."""
    listed = content.get("left_out", [])
    if not isinstance(listed, list) or len(listed) > MAX_LEFT_OUT:
        raise ValueError(f"left_out must be a list of at most {MAX_LEFT_OUT:,} images")
    images = tuple(UnreadableImage(*each) for each in listed)
    if not all(type(each.path) is type(each.why) is str for each in images):
        raise TypeError("every image in left_out must have a path and a reason")
    return images


def read_manifest(directory: Path) -> Manifest:
    """Return the manifest of a gallery memory after checking its numbers.

    Raises:
        GalleryMemoryError: The gallery memory is missing, unfinished or of another format, or its manifest is damaged.
    """
    if not directory.is_dir():
        unfinished = directory.with_name(directory.name + PARTIAL).is_dir()
        why = "is unfinished; resume its build with" if unfinished else "does not exist; build it with"
        raise GalleryMemoryError(f"the gallery memory {directory} {why}: {BUILD_COMMAND}")
    try:
        content = read_bounded_json(directory / MANIFEST)
    except UnusableFileError as error:
        raise unusable(directory, f"cannot be read: {error}") from error
    except PermissionError as error:
        raise GalleryMemoryError(f"no permission to read {directory / MANIFEST}; change its permissions") from error
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict) or not content or "format" not in content:
        raise GalleryMemoryError(
            f"{directory} is not a gallery memory; choose another folder or build one: {BUILD_COMMAND}"
        )
    if content.pop("format") != FORMAT:
        raise unusable(directory, f"does not have format {FORMAT}, the only one that this program reads")
    try:
        content["left_out"] = _left_out(content)
        content["fingerprint"] = Fingerprint(**content["fingerprint"])
        rows, columns = content["grid"]
        content["grid"] = (int(rows), int(columns))
        content["files"] = {str(name): (int(size), checksum) for name, (size, checksum) in content["files"].items()}
        manifest = Manifest(**content)
        _check_numbers(manifest)
        others = {*(f"{name}.npy" for name in ARRAYS), RECORDS}
        tokens = set(map(token_file, range(len(manifest.files) - len(others))))
        if len(tokens) != manifest.shards or set(manifest.files) != others | tokens:
            raise ValueError("its list of files does not match its number of images")
        _check_sizes(manifest)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise unusable(directory, f"is damaged: {MANIFEST} cannot be read ({error})") from error
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
    vectors = images * manifest.channels * TYPES["cls"].itemsize
    expected = {"cls.npy": vectors, "features.npy": vectors, "sums.npy": images * TYPES["sums"].itemsize}
    for number in range(manifest.shards):
        expected[token_file(number)] = row * min(manifest.shard_images, images - number * manifest.shard_images)
    for name, size in expected.items():
        if not size <= manifest.files[name][0] <= size + _MAX_HEADER:
            raise ValueError(f"{name} must have {size:,} bytes and a header, got {manifest.files[name][0]:,}")
    if not 0 <= manifest.files[RECORDS][0] <= _MAX_HEADER + images * _RECORD_BYTES:
        raise ValueError(f"{RECORDS} has {manifest.files[RECORDS][0]:,} bytes, too many for {images:,} images")


def unusable(directory: Path, why: str) -> GalleryMemoryError:
    """Return an error on a gallery memory that must be built again.

    Args:
        directory: Folder of the gallery memory.
        why: What is wrong, such as "lacks cls.npy".
    """
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
