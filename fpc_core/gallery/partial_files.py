"""Files of an unfinished build of a gallery memory: rows, progress markers, the lock, and the final move."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from fpc_core.gallery.memory import MAX_IMAGES, read_json
from fpc_core.gallery.token_store import GalleryMemoryError
from fpc_core.io.bounded_files import open_for_writing

if sys.platform != "win32":
    import fcntl

LOCK = ".lock"


class RowWriter:
    """An .npy file whose rows are written one batch after the other; on the disk when `write` returns."""

    def __init__(self, path: Path, kind: np.dtype, shape: tuple[int, ...], done: int) -> None:
        """done: rows that are there and stay; what follows them is written over."""
        self._file = open_for_writing(path, keep=bool(done))
        self._kind = kind
        form = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
        with ExitStack() as unfinished:
            unfinished.callback(self._file.close)
            np.lib.format.write_array_header_1_0(self._file, form)
            self._file.seek(done * kind.itemsize * int(np.prod(shape[1:])), os.SEEK_CUR)
            unfinished.pop_all()

    def __enter__(self) -> RowWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, rows: np.ndarray) -> None:
        self._file.write(np.ascontiguousarray(rows, self._kind).reshape(-1).view(np.uint8).data)
        self._file.flush()
        os.fsync(self._file.fileno())


def row_type(channels: int) -> np.dtype:
    """What of an image is merged at the end."""
    return np.dtype([("cls", "<f4", (channels,)), ("features", "<f4", (channels,)), ("sums", "<u4")])


def row_file(number: int) -> str:
    return f"rows-{number:05d}.npy"


def done_file(number: int) -> str:
    return f"done-{number:05d}.json"


def progress_of(partial: Path, number: int) -> tuple[int, int]:
    """Images of a shard that are on the disk, and the CRC-32 of their rows."""
    marker = read_json(partial / done_file(number)) or {}
    done, checksum = marker.get("done"), marker.get("crc32")
    return (done, checksum) if type(done) is type(checksum) is int and 0 <= done <= MAX_IMAGES else (0, 0)


def move_into_place(partial: Path, directory: Path) -> None:
    """Put the whole new memory where the old one, if any, was. Killed in between, the next build only moves."""
    (partial / LOCK).unlink(missing_ok=True)  # else a build killed after the move would leave it in the memory
    sync_folder(partial)
    remove_replaced(directory)
    if directory.exists():
        directory.rename(_replaced(directory))
    partial.rename(directory)
    sync_folder(directory.parent)
    remove_replaced(directory)


def remove_replaced(directory: Path) -> None:
    """Delete the gallery memory that was replaced, which a build killed right after its move leaves behind."""
    shutil.rmtree(_replaced(directory), ignore_errors=True)


def _replaced(directory: Path) -> Path:
    return directory.with_name(directory.name + ".old")


@contextmanager
def locked(partial: Path) -> Iterator[None]:
    """Keep a second build out until the memory is moved. Raises GalleryMemoryError if one is at it."""
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
    """The names in a folder are on the disk when it returns, where a system knows how (Windows does not)."""
    if sys.platform != "win32":
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
