"""Opening and reading a gallery memory of Occluded-Duke's size: 17,661 images x 242 patches x 768, float16.

    python -m benchmarks.memory DIRECTORY

Writes a sparse file of 6.6 GB (it takes no room on the disk) into DIRECTORY, opens it in a fresh process, and reads
the tokens of 100 scattered candidates: cold, after the pages were dropped (`posix_fadvise`), and warm; by the memory's
reader and by indexing the map. Reading holes of a sparse file costs page handling and copying but no disk.
With --dense the tokens are written for real.
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
from dataclasses import asdict
from pathlib import Path
from statistics import median

import numpy as np

from fpc_core.memory import FORMAT, Fingerprint, open_memory

IMAGES, GRID, CHANNELS, CANDIDATES = 17_661, (22, 11), 768, 100


def write(directory: Path, dense: bool) -> None:
    """A memory as `build_memory` leaves it, its tokens one large hole unless `dense`."""
    directory.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for name in ("cls", "features"):
        np.save(directory / f"{name}.npy", rng.standard_normal((IMAGES, CHANNELS), dtype=np.float32))
    shape = (IMAGES, GRID[0] * GRID[1], CHANNELS)
    tokens = np.lib.format.open_memmap(directory / "tokens.npy", "w+", np.float16, shape)
    if dense:
        block = rng.standard_normal((100, *shape[1:]), dtype=np.float32).astype(np.float16)
        for start in range(0, IMAGES, 100):
            tokens[start : start + 100] = block[: IMAGES - start]
    tokens.flush()
    records = [[f"{row:05d}.jpg", row, 0, "gallery"] for row in range(IMAGES)]
    (directory / "records.json").write_text(json.dumps(records), encoding="utf-8")
    files = {f"{name}.npy": (directory / f"{name}.npy").stat().st_size for name in ("cls", "tokens", "features")}
    manifest = {"format": FORMAT, "fingerprint": asdict(Fingerprint("w", "s", "f")), "grid": GRID, "bytes": files}
    (directory / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def measure(directory: Path, repeats: int) -> None:
    """Prints one table; run in a process of its own, so that the resident size is the memory's."""
    before = resident()
    start = time.perf_counter()
    memory = open_memory(directory)
    opened = time.perf_counter() - start
    start = time.perf_counter()
    _ = memory.unit_cls  # what the first shortlist needs
    ready = time.perf_counter() - start
    print("| what | figure |\n|---|---|")
    print(f"| open | {1000 * opened:.0f} ms |")
    print(f"| normalise `[cls]` for the first shortlist | {1000 * ready:.0f} ms |")
    print(f"| resident, grown by both | {(resident() - before) / 1e6:.0f} MB |")
    ways: dict[str, Callable[[np.ndarray], object]] = {
        "reader": lambda rows: memory.reader.read(rows) if memory.reader else None,
        "index of the map": lambda rows: memory.tokens[rows],
        "reader, to float32 on the CPU (what matching takes)": memory.patches,
    }
    rng = np.random.default_rng(1)
    for name, read in ways.items():
        cold, warm = [], []
        for _round in range(repeats):
            rows = rng.choice(IMAGES, CANDIDATES, replace=False)
            forget(directory / "tokens.npy")
            cold.append(timed(read, rows))
            warm.append(timed(read, rows))
        print(f"| 100 candidates, {name}, cold | {median(cold):.0f} ms |")
        print(f"| 100 candidates, {name}, warm | {median(warm):.0f} ms |")
    print(f"| peak resident of the process, torch and all | {peak() / 1e6:.0f} MB |")


def timed(read: Callable[[np.ndarray], object], rows: np.ndarray) -> float:
    start = time.perf_counter()
    read(rows)
    return 1000 * (time.perf_counter() - start)


def forget(path: Path) -> None:
    """Drop the file's pages from the system's cache."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--dense", action="store_true")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--measure", action="store_true", help="measure only; the memory is there")
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.directory, arguments.repeats)
        return
    write(arguments.directory, arguments.dense)
    command = [sys.executable, "-m", "benchmarks.memory", str(arguments.directory), "--measure"]
    subprocess.run([*command, "--repeats", str(arguments.repeats)], check=True)


if __name__ == "__main__":
    main()
