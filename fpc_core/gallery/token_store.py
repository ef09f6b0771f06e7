"""Tokens of a gallery memory on disk: files of a fixed number of images, read row by row and checked.

No file is ever read whole. A row is the tokens of one image, N x C float16; rows follow each other at the end of
`tokens-*.npy`. Each has a CRC-32, which is checked the first time the row is read: it detects flipped bits, rows of
another file and rows that were never written, and costs less than the read (benchmarks/memory.py).
"""

from __future__ import annotations

import os
import threading
import weakref
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from fpc_core.io.bounded_files import open_descriptor, open_regular

BUILD_COMMAND = "python -m fpc_core memory build --data DATASET --weights CHECKPOINT --memory MEMORY"
TOKEN_TYPE = np.dtype("<f2")
_READERS = 8  # threads that keep enough reads in flight for a cold solid-state disk
_NO_WAIT = getattr(os, "RWF_NOWAIT", 0)  # Linux only
_CHUNK = 1 << 22  # bytes read at a time where all rows of a file are read
_seek_lock = threading.Lock()


class GalleryMemoryError(ValueError):
    """A gallery memory cannot be used; the message says what is wrong and how to fix it."""


def token_file(number: int) -> str:
    """Return the name of a shard's file of tokens."""
    return f"tokens-{number:05d}.npy"


def file_checksum(path: Path) -> int:
    """Return the CRC-32 of a file's bytes.

    Raises:
        OSError: The file cannot be read.
    """
    checksum, buffer = 0, memoryview(bytearray(_CHUNK))
    with open_regular(path) as file:
        while count := file.readinto(buffer):
            checksum = zlib.crc32(buffer[:count], checksum)
    return checksum


def row_checksums(rows: np.ndarray) -> np.ndarray:
    """Return the CRC-32 of each of S rows (S, ...) as (S,) uint32."""
    return np.array([zlib.crc32(np.ascontiguousarray(row).data) for row in rows], dtype="<u4")


class TokenShards:
    """(G, N, C) float16 tokens in files; indexing with an int or a list of ints reads those rows only.

    Rows in the system's cache are read at once, the others by a few threads. Rows are large and scattered: indexing a
    mapped file would fault them in page by page, and whole-row reads from several threads are many times faster from a
    cold disk (benchmarks/memory.py). Cached rows gain nothing from threads, which compete for the GIL. Files stay open,
    so a gallery memory that is replaced while in use can still be read.

    Attributes:
        shape: (G, N, C).
        dtype: float16.
    """

    def __init__(self, paths: Sequence[Path], shape: tuple[int, int, int], shard_images: int, sums: np.ndarray) -> None:
        """Open the files.

        Args:
            paths: The files in order, each of `shard_images` rows but the last.
            shape: (G, N, C).
            shard_images: Rows in a file.
            sums: (G,) CRC-32 of every row.

        Raises:
            GalleryMemoryError: A file is too short for its rows.
            OSError: A file cannot be opened.
        """
        self.shape, self.dtype = shape, TOKEN_TYPE
        self._paths, self._shard = tuple(paths), shard_images
        self._row = TOKEN_TYPE.itemsize * shape[1] * shape[2]
        self._sums = np.asarray(sums)
        self._seen = np.zeros(shape[0], dtype=bool)  # rows whose checksum was verified
        self._files: list[int] = []
        self._starts: list[int] = []
        self._pool = ThreadPoolExecutor(_READERS, thread_name_prefix="gallery-memory")
        weakref.finalize(self, _release, self._files, self._pool)
        for number, path in enumerate(self._paths):
            self._files.append(open_descriptor(path))
            rows = min(shard_images, shape[0] - number * shard_images)
            self._starts.append(os.fstat(self._files[-1]).st_size - rows * self._row)
            if rows < 1 or self._starts[-1] < 0:
                raise GalleryMemoryError(f"{path} is too short for {rows} images; build it again: {BUILD_COMMAND}")
        if len(self._paths) * shard_images < shape[0]:
            raise GalleryMemoryError(
                f"{len(paths)} files of {shard_images} images are too few for {shape[0]} images; build it again: "
                f"{BUILD_COMMAND}"
            )

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Size of all tokens in bytes."""
        return self.shape[0] * self._row

    def __getitem__(self, rows: int | np.ndarray | Sequence[int]) -> np.ndarray:
        """Return (S, N, C) in the order of `rows` (S,), or (N, C) for one row.

        Raises:
            GalleryMemoryError: A file is truncated or a row is damaged.
        """
        indices = np.asarray(rows, dtype=np.int64)
        tokens = self._read(np.atleast_1d(indices))
        return tokens if indices.ndim else tokens[0]

    def verify(self) -> None:
        """Read every row once.

        Raises:
            GalleryMemoryError: A row is damaged; the message names the first.
        """
        step = max(1, _CHUNK // self._row)
        for start in range(0, len(self), step):
            self[np.arange(start, min(start + step, len(self)))]

    def _read(self, rows: np.ndarray) -> np.ndarray:
        out = np.empty((len(rows), *self.shape[1:]), self.dtype)
        raw = out.reshape(len(rows), -1).view(np.uint8)
        order = np.argsort(rows, kind="stable")
        missing = [position for position in order.tolist() if not self._read_cached(int(rows[position]), raw[position])]
        if missing:  # Submitting rows one by one would cost more than reading them.

            def fill(positions: Sequence[int]) -> None:
                for position in positions:
                    self._read_from_disk(int(rows[position]), raw[position])

            for _ in self._pool.map(fill, [part.tolist() for part in np.array_split(missing, _READERS)]):
                pass
        return out

    def _location(self, row: int) -> tuple[int, int]:
        """Return the file descriptor of a row, and the offset of the row in the file."""
        number, inside = divmod(row, self._shard)
        return self._files[number], self._starts[number] + inside * self._row

    def _read_cached(self, row: int, raw: np.ndarray) -> bool:
        """Read a row without waiting for the disk; return False if that is not possible."""
        if not _NO_WAIT:
            return False
        file, start = self._location(row)
        try:
            complete = os.preadv(file, [raw.data], start, _NO_WAIT) == self._row
        except OSError:  # The row is not cached, or the file system cannot tell.
            return False
        if complete:
            self._check(row, raw)
        return complete

    def _read_from_disk(self, row: int, raw: np.ndarray) -> None:
        file, start = self._location(row)
        view = raw.data
        while view:
            count = _read_at(file, view, start)
            if count == 0:
                raise GalleryMemoryError(
                    f"{self._paths[row // self._shard]} was truncated while in use; build it again: {BUILD_COMMAND}"
                )
            view, start = view[count:], start + count
        self._check(row, raw)

    def _check(self, row: int, raw: np.ndarray) -> None:
        if self._seen[row]:
            return
        if zlib.crc32(raw.data) != self._sums[row]:
            raise GalleryMemoryError(
                f"{self._paths[row // self._shard]} is damaged: the tokens of image {row} have changed since they were "
                f"written; build it again: {BUILD_COMMAND}"
            )
        self._seen[row] = True


def _read_at(file: int, view: memoryview, start: int) -> int:
    """Read bytes from offset `start` into `view`; return their number."""
    if hasattr(os, "preadv"):
        return os.preadv(file, [view], start)
    with _seek_lock:  # A file has one position only.
        os.lseek(file, start, os.SEEK_SET)
        data = os.read(file, len(view))
    view[: len(data)] = data
    return len(data)


def _release(files: Sequence[int], pool: ThreadPoolExecutor) -> None:
    pool.shutdown(wait=False)
    for file in files:
        os.close(file)
