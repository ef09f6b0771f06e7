"""Tokens of a gallery memory as they lie on disk: files of a fixed number of images, read row by row and checked.

No file is ever read whole. A row is what one image has: N x C float16, the last bytes of `tokens-*.npy` being rows, one
after the other. Each has a CRC-32, held against it the first time the row is read: that finds flipped bits, rows of
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
_NO_WAIT = getattr(os, "RWF_NOWAIT", 0)  # of Linux
_CHUNK = 1 << 22  # bytes read at once where a whole file is
_turn = threading.Lock()


class GalleryMemoryError(ValueError):
    """A gallery memory cannot be used; the message names what is wrong with it and the remedy."""


def token_file(number: int) -> str:
    """Name of the shard of this number."""
    return f"tokens-{number:05d}.npy"


def file_checksum(path: Path) -> int:
    """CRC-32 of a file's bytes. Raises OSError."""
    found, buffer = 0, memoryview(bytearray(_CHUNK))
    with open_regular(path) as file:
        while count := file.readinto(buffer):
            found = zlib.crc32(buffer[:count], found)
    return found


def row_checksums(rows: np.ndarray) -> np.ndarray:
    """(S,) uint32: the CRC-32 of each of S rows (S, ...)."""
    return np.array([zlib.crc32(np.ascontiguousarray(row).data) for row in rows], dtype="<u4")


class TokenShards:
    """(G, N, C) float16 tokens in files, to be indexed by rows: an int or a list of ints; reads only those.

    Rows the system has cached are read at once, the rest by a few threads. The wanted rows are large and lie far apart:
    indexing a mapped file would fault them in page after page, and whole-row reads from several threads are many times
    faster from a cold disk (benchmarks/memory.py). Cached rows gain nothing from threads, which wait for the
    interpreter whenever another one computes. Files stay open: a memory replaced while in use goes on being read.
    """

    def __init__(self, paths: Sequence[Path], shape: tuple[int, int, int], shard_images: int, sums: np.ndarray) -> None:
        """paths: the files in order, each of `shard_images` rows but for the last.  sums: (G,) CRC-32 of every row.

        Raises GalleryMemoryError for a file that does not hold its rows, OSError for one that cannot be opened.
        """
        self.shape, self.dtype = shape, TOKEN_TYPE
        self._paths, self._shard = tuple(paths), shard_images
        self._row = TOKEN_TYPE.itemsize * shape[1] * shape[2]
        self._sums = np.asarray(sums)
        self._seen = np.zeros(shape[0], dtype=bool)  # rows whose checksum was right once
        self._files: list[int] = []
        self._starts: list[int] = []
        self._pool = ThreadPoolExecutor(_READERS, thread_name_prefix="gallery-memory")
        weakref.finalize(self, _release, self._files, self._pool)
        for number, path in enumerate(self._paths):
            self._files.append(open_descriptor(path))
            rows = min(shard_images, shape[0] - number * shard_images)
            self._starts.append(os.fstat(self._files[-1]).st_size - rows * self._row)
            if rows < 1 or self._starts[-1] < 0:
                raise GalleryMemoryError(f"{path} does not hold {rows} images; build it again: {BUILD_COMMAND}")
        if len(self._paths) * shard_images < shape[0]:
            raise GalleryMemoryError(f"{shape[0]} images do not fit into {len(paths)} files of {shard_images}")

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Of all tokens, in bytes."""
        return self.shape[0] * self._row

    def __getitem__(self, rows: int | np.ndarray | Sequence[int]) -> np.ndarray:
        """(S, N, C) in the order of `rows` (S,), or (N, C) of one.

        Raises GalleryMemoryError where a file has ended early or a row is not what was written.
        """
        wanted = np.asarray(rows, dtype=np.int64)
        found = self._read(np.atleast_1d(wanted))
        return found if wanted.ndim else found[0]

    def verify(self) -> None:
        """Read every row once. Raises GalleryMemoryError for the first that is damaged."""
        step = max(1, _CHUNK // self._row)
        for start in range(0, len(self), step):
            self[np.arange(start, min(start + step, len(self)))]

    def _read(self, rows: np.ndarray) -> np.ndarray:
        out = np.empty((len(rows), *self.shape[1:]), self.dtype)
        raw = out.reshape(len(rows), -1).view(np.uint8)
        order = np.argsort(rows, kind="stable")
        missing = [place for place in order.tolist() if not self._cached(int(rows[place]), raw[place])]
        if missing:  # handing them out one by one would cost more than reading a row

            def fill(places: Sequence[int]) -> None:
                for place in places:
                    self._wait_for(int(rows[place]), raw[place])

            for _ in self._pool.map(fill, [part.tolist() for part in np.array_split(missing, _READERS)]):
                pass
        return out

    def _place(self, row: int) -> tuple[int, int]:
        """The open file of a row, and where in it the row begins."""
        number, inside = divmod(row, self._shard)
        return self._files[number], self._starts[number] + inside * self._row

    def _cached(self, row: int, raw: np.ndarray) -> bool:
        """Fill in one row without waiting for the disk; False where that is not possible."""
        if not _NO_WAIT:
            return False
        file, start = self._place(row)
        try:
            whole = os.preadv(file, [raw.data], start, _NO_WAIT) == self._row
        except OSError:  # not cached, or a file system that cannot tell
            return False
        if whole:
            self._check(row, raw)
        return whole

    def _wait_for(self, row: int, raw: np.ndarray) -> None:
        file, start = self._place(row)
        view = raw.data
        while view:
            count = _read_at(file, view, start)
            if count == 0:
                raise GalleryMemoryError(
                    f"{self._paths[row // self._shard]} was cut short while in use; build it again: {BUILD_COMMAND}"
                )
            view, start = view[count:], start + count
        self._check(row, raw)

    def _check(self, row: int, raw: np.ndarray) -> None:
        if self._seen[row]:
            return
        if zlib.crc32(raw.data) != self._sums[row]:
            raise GalleryMemoryError(
                f"{self._paths[row // self._shard]} is damaged: the tokens of image {row} are not those that were "
                f"written; build it again: {BUILD_COMMAND}"
            )
        self._seen[row] = True


def _read_at(file: int, view: memoryview, start: int) -> int:
    """Read bytes from `start` on into `view`; how many there were."""
    if hasattr(os, "preadv"):
        return os.preadv(file, [view], start)
    with _turn:  # a file has one position
        os.lseek(file, start, os.SEEK_SET)
        data = os.read(file, len(view))
    view[: len(data)] = data
    return len(data)


def _release(files: Sequence[int], pool: ThreadPoolExecutor) -> None:
    pool.shutdown(wait=False)
    for file in files:
        os.close(file)
