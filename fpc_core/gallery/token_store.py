"""Read the tokens of a gallery memory from files with a fixed number of images, row by row and with checksums.

No file is ever read whole. A row has the tokens of one image, N x C float16. Rows are contiguous at the end of
`tokens-*.npy`. Each has a CRC-32, which is checked when the row is first read. It detects flipped bits, rows of another
file and rows that were never written; checking takes less time than reading (benchmarks/memory.py).
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
_READERS = 8  # Number of threads that read rows; a solid-state disk needs several reads at a time.
_NO_WAIT = getattr(os, "RWF_NOWAIT", 0)  # This flag exists on Linux only.
_CHUNK = 1 << 22  # Number of bytes that are read at a time to compute or check checksums.
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
    """Return the CRC-32 of each row of an (S, ...) array as (S,) uint32."""
    return np.array([zlib.crc32(np.ascontiguousarray(row).data) for row in rows], dtype="<u4")


class TokenShards:
    """(G, N, C) float16 tokens in files; indexing with an int or a list of ints reads only those rows.

    Rows in the system's cache are read directly, the others by several threads. Because rows are large and scattered,
    this is many times faster from a cold disk than indexing a memory-mapped file, which reads page by page
    (benchmarks/memory.py). Threads would not speed up cached rows, because they compete for the GIL. Files stay open,
    so that a gallery memory that is replaced while in use can still be read.

    Attributes:
        shape: Shape of the tokens, (G, N, C).
        dtype: Data type of the tokens, float16.
    """

    def __init__(self, paths: Sequence[Path], shape: tuple[int, int, int], shard_images: int, sums: np.ndarray) -> None:
        """Open the files.

        Args:
            paths: Paths of the files in order; each has `shard_images` rows except the last, which may have fewer.
            shape: Shape of the tokens, (G, N, C).
            shard_images: Number of rows in a file.
            sums: (G,) CRC-32 of every row.

        Raises:
            GalleryMemoryError: A file is too short for its rows.
            OSError: A file cannot be opened.
        """
        self.shape, self.dtype = shape, TOKEN_TYPE
        self._paths, self._shard = tuple(paths), shard_images
        self._row = TOKEN_TYPE.itemsize * shape[1] * shape[2]
        self._sums = np.asarray(sums)
        self._seen = np.zeros(shape[0], dtype=bool)  # Whether the checksum of each row was verified.
        self._files: list[int] = []
        self._starts: list[int] = []
        self._pool = ThreadPoolExecutor(_READERS, thread_name_prefix="gallery-memory")
        weakref.finalize(self, _release, self._files, self._pool)
        for number, path in enumerate(self._paths):
            self._files.append(open_descriptor(path))
            rows = min(shard_images, shape[0] - number * shard_images)
            self._starts.append(os.fstat(self._files[-1]).st_size - rows * self._row)
            if rows < 1 or self._starts[-1] < 0:
                raise GalleryMemoryError(
                    f"{path} is too short for {rows} images; build the gallery memory again: {BUILD_COMMAND}"
                )
        if len(self._paths) * shard_images < shape[0]:
            raise GalleryMemoryError(
                f"{len(paths)} files of {shard_images} images are too few for {shape[0]} images; "
                f"build the gallery memory again: {BUILD_COMMAND}"
            )

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Size of all tokens in bytes."""
        return self.shape[0] * self._row

    def __getitem__(self, rows: int | np.ndarray | Sequence[int]) -> np.ndarray:
        """Return the tokens of some rows, (S, N, C) in the order of `rows`, or (N, C) for one row.

        Raises:
            GalleryMemoryError: A file is truncated or a row is damaged.
        """
        indices = np.asarray(rows, dtype=np.int64)
        tokens = self._read(np.atleast_1d(indices))
        return tokens if indices.ndim else tokens[0]

    def verify(self) -> None:
        """Check the checksum of every row.

        Raises:
            GalleryMemoryError: A row is damaged; the message names the first one.
        """
        step = max(1, _CHUNK // self._row)
        for start in range(0, len(self), step):
            self[np.arange(start, min(start + step, len(self)))]

    def _read(self, rows: np.ndarray) -> np.ndarray:
        out = np.empty((len(rows), *self.shape[1:]), self.dtype)
        raw = out.reshape(len(rows), -1).view(np.uint8)
        order = np.argsort(rows, kind="stable")
        missing = [position for position in order.tolist() if not self._read_cached(int(rows[position]), raw[position])]
        if missing:  # Each thread reads a part of the rows, because submitting single rows takes longer than reading.

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
        """Read a row without waiting for the disk, and return whether that was possible.

        Args:
            row: Row of the gallery memory.
            raw: uint8 array to read the row's bytes into.
        """
        if not _NO_WAIT:
            return False
        file, start = self._location(row)
        try:
            complete = os.preadv(file, [raw.data], start, _NO_WAIT) == self._row
        except OSError:  # The row is not cached, or the file system cannot read without waiting.
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
                    f"{self._paths[row // self._shard]} was truncated while in use; "
                    f"build the gallery memory again: {BUILD_COMMAND}"
                )
            view, start = view[count:], start + count
        self._check(row, raw)

    def _check(self, row: int, raw: np.ndarray) -> None:
        if self._seen[row]:
            return
        if zlib.crc32(raw.data) != self._sums[row]:
            raise GalleryMemoryError(
                f"{self._paths[row // self._shard]} is damaged: the tokens of image {row} have changed since they were "
                f"written; build the gallery memory again: {BUILD_COMMAND}"
            )
        self._seen[row] = True


def _read_at(file: int, view: memoryview, start: int) -> int:
    """Read bytes of a file into a buffer, and return their number, which may be smaller than the buffer.

    Args:
        file: File descriptor.
        view: Buffer to fill.
        start: Offset in the file.
    """
    if hasattr(os, "preadv"):
        return os.preadv(file, [view], start)
    with _seek_lock:  # All threads share the position of the file.
        os.lseek(file, start, os.SEEK_SET)
        data = os.read(file, len(view))
    view[: len(data)] = data
    return len(data)


def _release(files: Sequence[int], pool: ThreadPoolExecutor) -> None:
    pool.shutdown(wait=False)
    for file in files:
        os.close(file)
