"""A gallery of 519,000 images, Market-1501 with its 500,000 distractors in size: built, opened and searched.

    python -m benchmarks.half_million [--shares 0.0625 0.25 1] [--processes 2] [--queries 200] [--folder DIRECTORY]

Makes Market-1501's layout of noise and a narrow model of chance (32 patches x 32 channels; what is measured is how time
and memory grow, the width only scales them) in a temporary folder, builds the memory by torchrun, and searches it with
every shortlist that needs no server. Every step is a process of its own, so that time and peak are its own.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.scale import cost
from benchmarks.world import SIZE, make_weights
from fpc_core.config import ModelConfig, QuerySettings
from fpc_core.data.datasets import open_dataset
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.matching.shortlists import IndexKind, TorchIndex
from fpc_core.memory import fingerprint, open_memory
from fpc_core.model.checkpoint import load_checkpoint
from fpc_core.workspace import Places, open_workspace

GALLERY, DISTRACTORS, PEOPLE, CAMERAS, QUERIES = 519_000, 500_000, 750, 6, 200
CONFIG = ModelConfig(
    image_size=(32, 16), patch_size=4, stride=4, width=32, heads=4, depth=10, token_blocks=10, cameras=CAMERAS,
    identities=PEOPLE,
)  # fmt: skip
BATCH = 256
INDEXES = (IndexKind.TORCH, IndexKind.FAISS, IndexKind.FAISS_IVF)
_PART = 10_000  # images that one call makes


def make_gallery(root: Path, images: int, processes: int) -> Path:
    """`images` of noise, of which all but a few are distractors (identity 0), and queries of the others."""
    distractors = round(images * DISTRACTORS / GALLERY)
    parts = [("query", start, min(QUERIES, start + _PART), 0) for start in range(0, QUERIES, _PART)]
    for start in range(0, images, _PART):
        parts.append(("bounding_box_test", start, min(images, start + _PART), images - distractors))
    for folder in ("query", "bounding_box_test"):
        (root / folder).mkdir(parents=True)
    with ProcessPoolExecutor(processes) as pool:
        for _ in pool.map(_make, *zip(*((root / folder, *rest) for folder, *rest in parts), strict=True)):
            pass
    label = {"name": f"{images:,} images of noise", "synthetic": True, "layout": "market1501"}
    (root / "dataset.json").write_text(json.dumps(label), encoding="utf-8")
    return root


def _make(folder: Path, start: int, stop: int, people: int) -> None:
    """Images `start` to `stop`; from `people` on they are distractors. A query has the next camera of its person's."""
    rng = np.random.default_rng([start, people])
    query = folder.name == "query"
    for number in range(start, stop):
        person = number % PEOPLE + 1 if query or number < people else 0
        camera = (number // PEOPLE + query) % CAMERAS + 1
        pixels = rng.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
        name = f"{person:04d}_c{camera}s1_{number:07d}_00.jpg"
        Image.fromarray(pixels).save(folder / name, quality=50)


def opening(places: Places) -> dict[str, float]:
    """Seconds of what opens, one after the other."""
    took = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        made = work()
        took[name] = time.perf_counter() - start
        return made

    dataset = timed("list of images", lambda: open_dataset(places.data))
    model, _ = load_checkpoint(places.weights)
    made_from = timed("fingerprint", lambda: fingerprint(model, dataset.gallery, dataset.root))
    timed("memory", lambda: open_memory(places.memory, expect=made_from, records=dataset.gallery))
    timed("memory, with its own list", lambda: open_memory(places.memory))
    return took


def searching(places: Places, kind: str) -> dict[str, Any]:
    """Milliseconds of every query of the data by this shortlist, MB held, and the share of the exact one it found."""
    start = time.perf_counter()
    space = open_workspace(places, "cpu", shortlist=kind)
    ready = time.perf_counter() - start
    retriever, settings = space.retriever, QuerySettings()
    exact = TorchIndex(retriever.memory.cls, lambda: retriever.memory.unit_cls)
    whole, index, ranking, found = [], [], [], []
    for record in space.dataset.query:
        image = to_tensor([resize_image(space.dataset.read(record), CONFIG.image_size)], CONFIG)
        start = time.perf_counter()
        trace = retriever.search(image, settings, torch.tensor([record.camera]))
        whole.append(1000 * (time.perf_counter() - start))
        ranking.append(1000 * trace.timings["rank the gallery"])
        query = trace.encoding.cls[0]
        start = time.perf_counter()
        short = retriever.index.search(query, settings.shortlist)
        index.append(1000 * (time.perf_counter() - start))
        if kind == IndexKind.FAISS_IVF:
            found.append(np.isin(exact.search(query, settings.shortlist).indices, short.indices).mean())
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    held = {name: int(status[name].split()[0]) / 1000 for name in ("RssAnon", "RssFile", "VmHWM")}
    told = {"whole": whole[5:], "index": index[5:], "ranking": ranking[5:]}  # the first ones compile and map
    percentiles = {name: np.percentile(values, [50, 95]).tolist() for name, values in told.items()}
    return {**percentiles, **held, "ready": ready, "found": float(np.mean(found)) if found else 1.0}


def measure(folder: Path, share: float, arguments: argparse.Namespace) -> None:
    images = round(share * GALLERY)
    start = time.perf_counter()
    data = make_gallery(folder / "noise", images, arguments.processes)
    print(f"\n{images:,} images, made in {time.perf_counter() - start:.0f} s\n", flush=True)
    places = Places(data, make_weights(folder / "model.safetensors", CONFIG), folder / "memory")
    environment = {**os.environ, "FPC_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    where = ["--data", str(data), "--weights", str(places.weights), "--memory", str(places.memory)]
    run = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(arguments.processes)]
    build = ["-m", "fpc_core", "memory", "build", *where, "--device", "cpu", "--batch-size", str(BATCH)]
    built = cost([*run, *build], environment, folder / "log")
    print(
        f"build, {arguments.processes} processes: {built.wall:.0f} s, {images / built.wall:.0f} images a second, "
        f"{built.cpu:.0f} CPU seconds, peak of the larger process {built.peak:.0f} MB"
    )
    sizes = {path.name: path.stat().st_size / 1e6 for path in places.memory.iterdir()}
    tokens = sum(size for name, size in sizes.items() if name.startswith("tokens"))
    print(f"on disk: {sum(sizes.values()):.0f} MB, of which tokens {tokens:.0f} MB in {len(sizes) - 5} files")
    for task in ("opening", *INDEXES):
        command = ["-m", "benchmarks.half_million", "--task", task, "--folder", str(folder)]
        taken = cost(command, environment, folder / "log")
        told = json.loads((folder / "log").read_text().splitlines()[-1])
        if task == "opening":
            print("seconds to open: " + ", ".join(f"{name} {value:.2f}" for name, value in told.items()))
            print("\n| shortlist | query p50 | p95 | of it index | ranking | found | ready s | MB own | MB mapped |")
            print("|---|---|---|---|---|---|---|---|---|")
            continue
        print(
            f"| {task} | {told['whole'][0]:.1f} | {told['whole'][1]:.1f} | {told['index'][0]:.1f} | "
            f"{told['ranking'][0]:.1f} | {told['found']:.1%} | {told['ready']:.1f} | {told['RssAnon']:.0f} | "
            f"{told['RssFile']:.0f} |",
            flush=True,
        )
        print(f"{task}: {taken}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0625, 0.25, 1.0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    parser.add_argument("--task", help=argparse.SUPPRESS)  # what a process of this script does
    arguments = parser.parse_args()
    if arguments.task:
        folder = arguments.folder
        places = Places(folder / "noise", folder / "model.safetensors", folder / "memory")
        print(json.dumps(opening(places) if arguments.task == "opening" else searching(places, arguments.task)))
        return
    for share in arguments.shares:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            measure(Path(folder), share, arguments)


if __name__ == "__main__":
    main()
