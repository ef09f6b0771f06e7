"""Kills a memory build again and again, at random moments, and compares what comes of it with an undisturbed build.

    python -m tests.load.killing [--kills 100] [--seed 0] [--images 24] [--started]

A small world is built in peace. Then the command `memory build` runs on it in a process that gets SIGKILL at a moment
drawn evenly from its start to a tenth past the usual end; a process that has ended by then counts for nothing. What
lies there afterwards must be no memory, with the remedy in the message, or a whole one. The next build
continues it and is killed in turn; one in three runs to its end and must write the same bytes as an undisturbed build.
Every other folder holds a memory of other weights when it begins, which must open until the new one is whole.

Processes are forked from one that has torch loaded, so that most moments fall into the build; with --started each one
is started as a user does, and most fall into its imports.
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
PAST_THE_END = 1.1  # of the time that an undisturbed build takes, up to which it is killed
LET_GO = 1 / 3  # of the builds
WHOLE = "whole memory in place"


def make_world(folder: Path, images: int) -> tuple[Path, Path, Path]:
    """A plain dataset of noise and two checkpoints."""
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
    """The bytes of every file below, by path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Killer:
    """Builds of one world, and what was seen. seen: how many builds were killed at which stage."""

    def __init__(self, folder: Path, images: int, seed: int, started: bool) -> None:
        self._folder, self._started = folder, started
        self._chance = random.Random(seed)
        self.data, self.weights, self.others = make_world(folder, images)
        model, _ = load_checkpoint(self.weights)
        dataset = open_dataset(self.data)
        self._wanted = fingerprint(model, dataset.gallery, dataset.root)
        self.seen: Counter[str] = Counter()
        self.compared = 0
        self._old = folder / "of other weights"
        self._run(self.others, self._old)
        self.undisturbed = min(self._timed(folder / f"undisturbed{each}") for each in range(3))
        self._whole = contents(folder / "undisturbed0")

    def kill(self, kills: int) -> None:
        """Kill so many builds. Raises AssertionError where one cannot be recovered or ends with other bytes."""
        number = 0
        while sum(self.seen.values()) < kills:
            number += 1
            memory, had_old = self._folder / f"memory{number}", number % 2 == 0
            if had_old:
                shutil.copytree(self._old, memory)
            while sum(self.seen.values()) < kills:
                stage = self._killed(memory, had_old)
                if stage:
                    self.seen[stage] += 1
                if stage in ("", WHOLE) or self._chance.random() < LET_GO:
                    break
            self._run(self.weights, memory)
            written = contents(memory)
            assert written.keys() == self._whole.keys(), sorted(written.keys() ^ self._whole.keys())
            differ = [name for name, data in self._whole.items() if written[name] != data]
            assert not differ, f"{memory} differs in {differ}"
            left = [path.name for path in self._folder.glob(f"{memory.name}*") if path != memory]
            assert not left, f"left over: {left}"
            self.compared += 1
            shutil.rmtree(memory)

    def _timed(self, memory: Path) -> float:
        start = time.monotonic()
        self._run(self.weights, memory)
        return time.monotonic() - start

    def _killed(self, memory: Path, had_old: bool) -> str:
        """Kill one build; what it had done by then, empty where it had ended."""
        process = self._begun(self.weights, memory)
        time.sleep(self._chance.uniform(0, PAST_THE_END * self.undisturbed))
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        if not os.WIFSIGNALED(status):
            assert os.waitstatus_to_exitcode(status) == 0
            assert contents(memory) == self._whole
            return ""
        done = images_done(memory, self._wanted, BATCH)
        try:
            open_memory(memory, expect=self._wanted)
        except GalleryMemoryError as error:
            if "memory build" not in str(error):
                raise
        else:
            assert contents(memory) == self._whole
            return WHOLE
        if had_old and memory.exists():
            assert contents(memory) == contents(self._old)
            open_memory(memory)
        return f"{done:3} images done" if done else "nothing done"

    def _begun(self, weights: Path, memory: Path) -> int:
        """The process of a build that has begun."""
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
        _, status = os.waitpid(self._begun(weights, memory), 0)
        assert os.waitstatus_to_exitcode(status) == 0, f"the build of {memory} failed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--started", action="store_true", help="start every process anew")
    parser.add_argument("--json", action="store_true", help="say it as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        killer = Killer(Path(folder), arguments.images, arguments.seed, arguments.started)
        killer.kill(arguments.kills)
    if arguments.json:
        print(json.dumps({"seen": killer.seen, "compared": killer.compared}))
        return
    print(f"{arguments.images} images in batches of {BATCH}, {killer.undisturbed:.2f} s undisturbed\n")
    print("| killed with | builds |\n|---|---|")
    for stage, count in sorted(killer.seen.items()):
        print(f"| {stage} | {count} |")
    print(
        f"\n{sum(killer.seen.values())} kills, {killer.compared} folders compared: the bytes of the undisturbed build"
    )


if __name__ == "__main__":
    main()
