"""Kill builds of a gallery memory at random moments, and compare the result with that of an undisturbed build.

    python -m tests.load.killing [--kills 100] [--seed 0] [--images 24] [--started]

First a small dataset is built without interruption. Then `memory build` runs in a process that receives SIGKILL at a
random moment between its start and 1.1 times the usual duration; processes that have ended by then do not count.
Afterwards the folder must contain either a complete gallery memory or none, with a message that says how to build it.
The next build continues in the folder and is killed as well; one in three runs to its end and must write the same bytes
as the undisturbed build. Every second folder initially contains a gallery memory of other weights, which must
remain readable until the new one is complete.

Processes are forked from one that has imported torch, so that most kills happen during the build. With --started, every
process is started as a user does, and most kills happen during its imports.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch

from fpc_core.cli import main as run_command
from fpc_core.config import ModelConfig
from fpc_core.data.datasets import open_dataset
from fpc_core.gallery.builder import images_done
from fpc_core.gallery.memory import GalleryMemoryError, fingerprint, open_memory
from fpc_core.model.checkpoint import load_checkpoint, save_checkpoint
from fpc_core.model.fpc import FPC

CONFIG = ModelConfig(stride=16, width=16, heads=2, cameras=0, identities=4)
BATCH = 2
LATEST_KILL = 1.1  # Latest moment of a kill, relative to the duration of an undisturbed build.
UNDISTURBED = 1 / 3  # Share of the builds that run to their end.
COMPLETE = "complete gallery memory in place"


def make_world(folder: Path, images: int) -> tuple[Path, Path, Path]:
    """Write a dataset of noise images and two checkpoints, and return the three paths.

    Args:
        folder: Folder in which they are written.
        images: Number of images.
    """
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(images):
        home = folder / "data" / f"person{number % 4}"
        home.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 32, 3), dtype=np.uint8)).save(home / f"{number:03d}.png")
    for name in ("one", "other"):
        torch.manual_seed(len(name))
        save_checkpoint(FPC(CONFIG).eval(), folder / f"{name}.safetensors")
    return folder / "data", folder / "one.safetensors", folder / "other.safetensors"


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file in a folder, by relative path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Killer:
    """Runner that kills builds of one dataset.

    Attributes:
        killed: Number of builds that were killed at each stage.
        compared: Number of folders whose final bytes were compared.
        undisturbed: Duration of an undisturbed build in seconds.
    """

    def __init__(self, folder: Path, images: int, seed: int, started: bool) -> None:
        self._folder, self._started = folder, started
        self._chance = random.Random(seed)
        self.data, self.weights, self.others = make_world(folder, images)
        model, _ = load_checkpoint(self.weights)
        dataset = open_dataset(self.data)
        self._fingerprint = fingerprint(model, dataset.gallery, dataset.root)
        self.killed: Counter[str] = Counter()
        self.compared = 0
        self._old = folder / "other weights"
        self._run(self.others, self._old)
        self.undisturbed = min(self._timed(folder / f"undisturbed{each}") for each in range(3))
        self._expected = contents(folder / "undisturbed0")

    def kill(self, kills: int) -> None:
        """Kill this number of builds.

        Raises:
            AssertionError: A build cannot be continued or ends with other bytes.
        """
        number = 0
        while sum(self.killed.values()) < kills:
            number += 1
            memory, had_old = self._folder / f"memory{number}", number % 2 == 0
            if had_old:
                shutil.copytree(self._old, memory)
            while sum(self.killed.values()) < kills:
                stage = self._kill_one(memory, had_old)
                if stage:
                    self.killed[stage] += 1
                if stage in ("", COMPLETE) or self._chance.random() < UNDISTURBED:
                    break
            self._run(self.weights, memory)
            written = contents(memory)
            assert written.keys() == self._expected.keys(), sorted(written.keys() ^ self._expected.keys())
            differ = [name for name, data in self._expected.items() if written[name] != data]
            assert not differ, f"{memory} differs in {differ}"
            left = [path.name for path in self._folder.glob(f"{memory.name}*") if path != memory]
            assert not left, f"files left behind: {left}"
            self.compared += 1
            shutil.rmtree(memory)

    def _timed(self, memory: Path) -> float:
        start = time.monotonic()
        self._run(self.weights, memory)
        return time.monotonic() - start

    def _kill_one(self, memory: Path, had_old: bool) -> str:
        """Kill one build, and return its stage, or an empty text if it had ended.

        Args:
            memory: Folder of the build.
            had_old: Whether the folder contained a gallery memory of other weights.
        """
        process = self._start(self.weights, memory)
        time.sleep(self._chance.uniform(0, LATEST_KILL * self.undisturbed))
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        if not os.WIFSIGNALED(status):
            assert os.waitstatus_to_exitcode(status) == 0
            assert contents(memory) == self._expected
            return ""
        done = images_done(memory, self._fingerprint, BATCH)
        try:
            open_memory(memory, expect=self._fingerprint)
        except GalleryMemoryError as error:
            if "memory build" not in str(error):
                raise
        else:
            assert contents(memory) == self._expected
            return COMPLETE
        if had_old and memory.exists():
            assert contents(memory) == contents(self._old)
            open_memory(memory)
        return f"{done:3} images done" if done else "nothing done"

    def _start(self, weights: Path, memory: Path) -> int:
        """Start a build and return the id of its process.

        Args:
            weights: Checkpoint.
            memory: Folder of the build.
        """
        places = ["--data", str(self.data), "--weights", str(weights), "--memory", str(memory)]
        command = ["memory", "build", *places, "--batch-size", str(BATCH), "--device", "cpu"]
        if self._started:
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            return subprocess.Popen([sys.executable, "-m", "fpc_core", *command], **quiet).pid
        process = os.fork()
        if process:
            return process
        try:
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), 1)
            os._exit(run_command(command))
        finally:
            os._exit(3)

    def _run(self, weights: Path, memory: Path) -> None:
        _, status = os.waitpid(self._start(weights, memory), 0)
        assert os.waitstatus_to_exitcode(status) == 0, f"the build of {memory} failed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--started", action="store_true", help="start every process as a user does")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        killer = Killer(Path(folder), arguments.images, arguments.seed, arguments.started)
        killer.kill(arguments.kills)
    if arguments.json:
        print(json.dumps({"killed": killer.killed, "compared": killer.compared}))
        return
    print(f"{arguments.images} images in batches of {BATCH}, {killer.undisturbed:.2f} s undisturbed\n")
    print("| killed with | builds |\n|---|---|")
    for stage, count in sorted(killer.killed.items()):
        print(f"| {stage} | {count} |")
    print(
        f"\n{sum(killer.killed.values())} kills; {killer.compared} folders compared, all with the bytes of the "
        "undisturbed build"
    )


if __name__ == "__main__":
    main()
