"""Files of an unfinished build of a gallery memory: rows, progress markers, the lock, and the final move."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from fpc_core.gallery.manifest import MANIFEST, MAX_IMAGES, Fingerprint, read_json
from fpc_core.gallery.memory import open_memory
from fpc_core.gallery.token_store import GalleryMemoryError, TokenShards
from fpc_core.io.bounded_files import open_for_writing

if sys.platform != "win32":
    import fcntl

LOCK = ".lock"


class RowWriter:
    """Writes the rows of an .npy file in batches; rows are on disk when `write` returns."""

    def __init__(self, path: Path, kind: np.dtype, shape: tuple[int, ...], done: int) -> None:
        """Open the file.

        Args:
            path: Path of the file.
            kind: Data type of the array.
            shape: Shape of the array.
            done: Number of rows that are already stored; later rows are overwritten.
        """
        self._file = open_for_writing(path, keep=bool(done))
        self._kind = kind
        header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
        with ExitStack() as unfinished:
            unfinished.callback(self._file.close)
            np.lib.format.write_array_header_1_0(self._file, header)
            self._file.seek(done * kind.itemsize * int(np.prod(shape[1:])), os.SEEK_CUR)
            unfinished.pop_all()

    def __enter__(self) -> RowWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, rows: np.ndarray) -> None:
        """Append rows and wait until they are on disk."""
        self._file.write(np.ascontiguousarray(rows, self._kind).reshape(-1).view(np.uint8).data)
        self._file.flush()
        os.fsync(self._file.fileno())


def row_type(channels: int) -> np.dtype:
    """Return the structured type of one image's row: cls, features and the CRC-32 of its tokens."""
    return np.dtype([("cls", "<f4", (channels,)), ("features", "<f4", (channels,)), ("sums", "<u4")])


def row_file(number: int) -> str:
    """Return the name of a shard's file of rows."""
    return f"rows-{number:05d}.npy"


def done_file(number: int) -> str:
    """Return the name of a shard's progress marker."""
    return f"done-{number:05d}.json"


def shard_progress(partial: Path, number: int) -> tuple[int, int]:
    """Return how many images of a shard are stored, and the CRC-32 of their rows.

    Args:
        partial: Folder of the unfinished build.
        number: Number of the shard.
    """
    marker = read_json(partial / done_file(number)) or {}
    done, checksum = marker.get("done"), marker.get("crc32")
    return (done, checksum) if type(done) is type(checksum) is int and 0 <= done <= MAX_IMAGES else (0, 0)


def move_into_place(partial: Path, directory: Path) -> None:
    """Replace `directory` by the finished build. If this is interrupted, the next build only repeats the move.

    Args:
        partial: Folder of the finished build.
        directory: Folder in which the gallery memory is stored.
    """
    (partial / LOCK).unlink(missing_ok=True)  # The lock file must not become a part of the gallery memory.
    sync_folder(partial)
    remove_replaced(directory)
    if directory.exists():
        directory.rename(_replaced(directory))
    partial.rename(directory)
    sync_folder(directory.parent)
    remove_replaced(directory)


def remove_replaced(directory: Path) -> None:
    """Delete the gallery memory that a build replaced, also if an earlier build was killed before it could do so."""
    shutil.rmtree(_replaced(directory), ignore_errors=True)


def _replaced(directory: Path) -> Path:
    return directory.with_name(directory.name + ".old")


def is_up_to_date(directory: Path, provenance: Fingerprint) -> bool:
    """Return whether a folder is an undamaged gallery memory with a certain fingerprint.

    An outdated gallery memory stays in use until the new one is complete.

    Args:
        directory: Folder of the gallery memory.
        provenance: Fingerprint that it must have.

    Raises:
        GalleryMemoryError: The folder has any other content.
    """
    if (directory / MANIFEST).is_file():
        try:
            tokens = open_memory(directory, expect=provenance).tokens
            if isinstance(tokens, TokenShards):
                tokens.verify()
        except GalleryMemoryError:
            return False
        return True
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise GalleryMemoryError(f"{directory} is not empty and is not a gallery memory; choose another directory")
    return False


@contextmanager
def build_lock(partial: Path) -> Iterator[None]:
    """Prevent a second build of the same gallery memory within the context (no effect on Windows).

    Raises:
        GalleryMemoryError: Another build is running.
    """
    if sys.platform == "win32":
        yield
        return
    with open_for_writing(partial / LOCK) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise GalleryMemoryError(f"another process is building {partial}; wait for it or stop it") from error
        yield


def sync_folder(folder: Path) -> None:
    """Flush a folder's directory entries to disk (no effect on Windows)."""
    if sys.platform != "win32":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
