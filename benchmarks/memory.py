"""Measure opening and reading a gallery memory of the size of Occluded-Duke.

    python -m benchmarks.memory DIRECTORY

The gallery memory has 17,661 images x 242 patches x 768 channels in float16. The script writes it to DIRECTORY as
sparse files of 6.6 GB, which use no disk space, and opens them in a new process. It reads the tokens of 100 random
candidates cold, after their pages were dropped (`posix_fadvise`), and warm. It reads them through `GalleryMemory`, with
and without verifying checksums, and by indexing a memory map. Reading sparse files includes page handling and copying,
but no disk access. With --dense, the tokens are actually written.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from fpc_core.gallery.builder import SHARD_IMAGES
from fpc_core.gallery.manifest import ARRAYS, MANIFEST, RECORDS, Fingerprint, Manifest
from fpc_core.gallery.memory import open_memory
from fpc_core.gallery.token_store import file_checksum, row_checksums, token_file

IMAGES, GRID, CHANNELS, CANDIDATES = 17_661, (22, 11), 768, 100


def write(directory: Path, dense: bool) -> None:
    """Write a gallery memory in the format of `build_memory`. Its token files are sparse unless `dense` is set."""
    directory.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for name in ("cls", "features"):
        np.save(directory / f"{name}.npy", rng.standard_normal((IMAGES, CHANNELS), dtype=np.float32))
    inner = (GRID[0] * GRID[1], CHANNELS)
    block = np.zeros((128, *inner), np.float16)
    if dense:
        block = rng.standard_normal(block.shape, dtype=np.float32).astype(np.float16)
    files: dict[str, tuple[int, int | None]] = {}
    for number, first in enumerate(range(0, IMAGES, SHARD_IMAGES)):
        path = directory / token_file(number)
        rows = min(SHARD_IMAGES, IMAGES - first)
        tokens = np.lib.format.open_memmap(path, "w+", np.float16, (rows, *inner))
        for start in range(0, rows if dense else 0, len(block)):
            tokens[start : start + len(block)] = block[: rows - start]
        tokens.flush()
        files[path.name] = path.stat().st_size, None
    # Every shard contains a whole number of blocks, so the checksums of a block repeat.
    np.save(directory / "sums.npy", np.resize(row_checksums(block), IMAGES))
    records = [[f"{row:05d}.jpg", row, 0, "gallery"] for row in range(IMAGES)]
    (directory / RECORDS).write_text(json.dumps(records), encoding="utf-8")
    for name in (*(f"{name}.npy" for name in ARRAYS), RECORDS):
        files[name] = (directory / name).stat().st_size, file_checksum(directory / name)
    manifest = Manifest(Fingerprint("w", "s", "f"), IMAGES, GRID, CHANNELS, SHARD_IMAGES, 32, files)
    (directory / MANIFEST).write_text(json.dumps(manifest.to_json()), encoding="utf-8")


def measure(directory: Path, repeats: int) -> None:
    """Print a table of times and sizes. Resident memory is correct only if this runs in a new process.

    Args:
        directory: Folder of the gallery memory.
        repeats: Number of timed runs.
    """
    before = resident()
    start = time.perf_counter()
    memory = open_memory(directory)
    opened = time.perf_counter() - start
    start = time.perf_counter()
    _ = memory.unit_cls  # The first shortlist needs these unit vectors.
    ready = time.perf_counter() - start
    print("| what | value |\n|---|---|")
    print(f"| open | {1000 * opened:.0f} ms |")
    print(f"| normalise `[cls]` for the first shortlist | {1000 * ready:.0f} ms |")
    print(f"| growth of resident memory by both | {(resident() - before) / 1e6:.0f} MB |")
    shards = sorted(directory.glob("tokens-*.npy"))
    maps = [np.load(path, mmap_mode="r") for path in shards]
    tokens = memory.tokens
    ways: dict[str, Callable[[np.ndarray], object]] = {
        "gallery memory": tokens.__getitem__,
        "indexed memory map": lambda rows: np.stack([maps[row // SHARD_IMAGES][row % SHARD_IMAGES] for row in rows]),
        "gallery memory, float32 on the CPU as for matching": memory.patches,
    }
    rng = np.random.default_rng(1)
    for name, read in ways.items():
        cold, unchecked, warm = [], [], []
        for _round in range(repeats):
            rows = rng.choice(IMAGES, CANDIDATES, replace=False)
            for path in shards:
                forget(path)
            cold.append(timed(read, rows))
            tokens._seen[:] = False
            unchecked.append(timed(read, rows))
            warm.append(timed(read, rows))
        print(f"| 100 candidates, {name}, cold | {median(cold):.0f} ms |")
        print(f"| 100 candidates, {name}, warm, read for the first time | {median(unchecked):.1f} ms |")
        print(f"| 100 candidates, {name}, warm | {median(warm):.1f} ms |")
    print(f"| peak resident memory of the process, including torch | {peak() / 1e6:.0f} MB |")


def timed(read: Callable[[np.ndarray], object], rows: np.ndarray) -> float:
    """Return how many milliseconds `read` takes for these rows."""
    start = time.perf_counter()
    read(rows)
    return 1000 * (time.perf_counter() - start)


def forget(path: Path) -> None:
    """Drop the pages of a file from the system's page cache."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def peak() -> int:
    """Return the peak of resident memory of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--dense", action="store_true")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument(
        "--measure", action="store_true", help="measure an existing gallery memory, without writing one"
    )
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.directory, arguments.repeats)
        return
    write(arguments.directory, arguments.dense)
    command = [sys.executable, "-m", "benchmarks.memory", str(arguments.directory), "--measure"]
    subprocess.run([*command, "--repeats", str(arguments.repeats)], check=True)


if __name__ == "__main__":
    main()
