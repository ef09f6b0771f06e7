"""Measure how time and memory of loading, building and evaluating grow up to the size of Occluded-Duke.

    python -m benchmarks.scale [--shares 0.25 0.5 1] [--folder DIRECTORY]

The script makes a dataset of noise with the layout of Occluded-Duke (2,210 queries, 17,661 gallery and 15,618 training
images) in a temporary folder, and a small model with random weights. It then opens them and runs `memory build` and
`evaluate`, each in a separate process. For every process it prints wall and CPU seconds and the peak of resident
memory, which includes pages of the mapped gallery memory that were read.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.world import CONFIG, make_dataset, make_weights

LOAD = "from fpc_core.workspace import *; open_workspace(Places.from_environment(), 'cpu')"
NOTHING = "import fpc_core.workspace"


@dataclass(frozen=True)
class Cost:
    """Cost of a process, including its start.

    Attributes:
        wall: Wall time in seconds.
        cpu: CPU time in seconds.
        peak: Peak of resident memory in MB.
    """

    wall: float
    cpu: float
    peak: float


def cost(command: list[str], environment: dict[str, str], log: Path) -> Cost:
    """Run a Python process and return its cost.

    Args:
        command: Arguments of the Python interpreter.
        environment: Environment variables.
        log: File to which the output is written.

    Raises:
        SystemExit: The process failed. The message contains the end of its output.
    """
    start = time.perf_counter()
    with log.open("wb") as out:
        actions = [(os.POSIX_SPAWN_DUP2, out.fileno(), 1), (os.POSIX_SPAWN_DUP2, out.fileno(), 2)]
        process = os.posix_spawn(sys.executable, [sys.executable, *command], environment, file_actions=actions)
        _, status, usage = os.wait4(process, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed:\n{log.read_text()[-2000:]}")
    return Cost(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def measure(folder: Path, share: float) -> tuple[dict[str, Cost], float]:
    """Return the cost of each step at a share of the full size, and the size of the gallery memory on disk in MB."""
    start = time.perf_counter()
    data = make_dataset(folder / "noise", share)
    weights, memory = make_weights(folder / "model.safetensors"), folder / "memory"
    print(f"generated images and weights in {time.perf_counter() - start:.0f} s", file=sys.stderr)
    places = {"FPC_DATA": str(data), "FPC_WEIGHTS": str(weights), "FPC_MEMORY": str(memory)}
    environment = {**os.environ, **places, "FPC_CACHE": str(folder / "cache")}
    steps = {
        "start of Python and torch": ["-c", NOTHING],
        "memory build": ["-m", "fpc_core", "memory", "build", "--device", "cpu"],
        "load": ["-c", LOAD],
        "evaluate": ["-m", "fpc_core", "evaluate", "--device", "cpu"],
    }
    costs = {}
    for name, command in steps.items():
        costs[name] = cost(command, environment, folder / "log")
        print(f"{share:g} {name}: {costs[name]}", file=sys.stderr)
    print((folder / "log").read_text(), file=sys.stderr)
    return costs, sum(path.stat().st_size for path in memory.iterdir()) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shares", type=float, nargs="+", default=[0.25, 0.5, 1.0])
    parser.add_argument("--folder", type=Path, help="folder for temporary files (default: the system's)")
    arguments = parser.parse_args()
    print(f"{CONFIG.patches} patches x {CONFIG.width} channels, {CONFIG.depth} blocks\n")
    print("| share | step | wall s | CPU s | peak resident MB | CPU grown by | peak grown by |")
    print("|---|---|---|---|---|---|---|")
    before: dict[str, Cost] = {}
    for share in arguments.shares:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            costs, size = measure(Path(folder), share)
        for name, step_cost in costs.items():
            grown = ("", "")
            if name in before:
                grown = (f"{step_cost.cpu / before[name].cpu:.2f}", f"{step_cost.peak / before[name].peak:.2f}")
            took = f"{step_cost.wall:.1f} | {step_cost.cpu:.1f} | {step_cost.peak:.0f}"
            print(f"| {share:g} | {name} | {took} | {grown[0]} | {grown[1]} |")
        print(f"| {share:g} | memory on disk: {size:.0f} MB | | | | | |", flush=True)
        before = costs


if __name__ == "__main__":
    main()
