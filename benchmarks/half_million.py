"""Measure building, opening and searching a gallery of 519,000 images, like Market-1501 with 500,000 distractors.

    python -m benchmarks.half_million [--images 519000] [--processes 2] [--folder DIRECTORY]

The script makes noise images with the layout of Market-1501 and a narrow model with random weights (32 patches x 32
channels), because only the growth of time and memory is of interest. It builds the gallery memory with torchrun, and
searches a sixteenth, a quarter and all of it with every shortlist index that needs no server. Every step is a separate
process, so that its time and peak memory can be measured. With --folder, all files are kept, and images are reused.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
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
from fpc_core.gallery.builder import SHARD_IMAGES
from fpc_core.gallery.memory import GalleryMemory, fingerprint, open_memory
from fpc_core.gallery.token_store import TokenShards
from fpc_core.matching.shortlist import IndexKind, TorchIndex, open_index
from fpc_core.model.checkpoint import load_checkpoint
from fpc_core.retrieval import Retriever
from fpc_core.workspace import Places, open_workspace

GALLERY, DISTRACTORS, PEOPLE, CAMERAS, QUERIES = 519_000, 500_000, 750, 6, 200
CONFIG = ModelConfig(
    image_size=(32, 16),
    patch_size=4,
    stride=4,
    width=32,
    heads=4,
    depth=10,
    token_blocks=10,
    cameras=CAMERAS,
    identities=PEOPLE,
)
BATCH = 256
SHARES = (1 / 16, 1 / 4, 1)
WARM_UP = 5
INDEXES = (IndexKind.TORCH, IndexKind.FAISS, IndexKind.FAISS_IVF)
_PART = 10_000  # Number of images that one call of `_make` writes.


def make_gallery(root: Path, images: int, processes: int) -> Path:
    """Make a dataset of noise images, most of which are distractors (identity 0), and return its folder.

    Args:
        root: Folder of the dataset.
        images: Number of gallery images.
        processes: Number of processes that write images.
    """
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
    """Write a part of the images of a split. Queries have other cameras than their matches.

    Args:
        folder: Folder of the split.
        start: Number of the first image.
        stop: Number after that of the last image.
        people: Number of the first distractor in the gallery; the split query has none.
    """
    rng = np.random.default_rng([start, people])
    query = folder.name == "query"
    written = io.BytesIO()
    Image.new("RGB", SIZE).save(written, "BMP")
    pixels = 3 * SIZE[0] * SIZE[1]
    header = written.getvalue()[:-pixels]
    for number in range(start, stop):
        person = number % PEOPLE + 1 if query or number < people else 0
        camera = (number // PEOPLE + query) % CAMERAS + 1
        name = f"{person:04d}_c{camera}s1_{number:07d}_00.bmp"
        (folder / name).write_bytes(header + rng.bytes(pixels))


def opening(places: Places) -> dict[str, float]:
    """Return how many seconds each step of opening a workspace takes."""
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


def searching(places: Places, kind: str, share: float) -> dict[str, Any]:
    """Search for every query with one kind of shortlist index.

    Args:
        places: Paths of data, weights and gallery memory.
        kind: Kind of the index.
        share: Share of the token shards to use, from the first on.

    Returns:
        The 50th and 95th percentile in milliseconds per query of `whole` time, `cpu` time, `index` and `ranking`;
        `found`, the share of the exact shortlist that the index found; `own` and `mapped` resident memory in MB;
        `images`, their number; `ready`, the seconds until the first timed query.
    """
    workspace = open_workspace(places, "cpu")
    memory, settings = first_shards(places.memory, workspace.retriever.memory, share), QuerySettings()
    start = time.perf_counter()
    index = open_index(kind, memory.cls, lambda: memory.unit_cls, f"{share}", places.memory.parent / "indexes")
    retriever = Retriever(workspace.retriever.model, memory, index)
    exact = TorchIndex(memory.cls, lambda: memory.unit_cls)
    taken: dict[str, list[float]] = {name: [] for name in ("whole", "cpu", "index", "ranking")}
    recalls, ready = [], 0.0
    for number, record in enumerate(workspace.dataset.query):
        image = to_tensor([resize_image(workspace.dataset.read(record), CONFIG.image_size)], CONFIG)
        began, busy = time.perf_counter(), time.process_time()
        trace = retriever.search(image, settings, torch.tensor([record.camera]))
        whole, cpu = time.perf_counter() - began, time.process_time() - busy
        if number < WARM_UP:  # The first queries compile kernels and compute unit vectors.
            ready = time.perf_counter() - start
            continue
        query = trace.encoding.cls[0]
        began = time.perf_counter()
        short = index.search(query, settings.shortlist)
        spent = time.perf_counter() - began
        for name, value in zip(taken, (whole, cpu, spent, trace.timings["rank the gallery"]), strict=True):
            taken[name].append(1000 * value)
        if kind == IndexKind.FAISS_IVF:
            recalls.append(np.isin(exact.search(query, settings.shortlist).indices, short.indices).mean())
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    resident = {name: int(status[key].split()[0]) / 1000 for name, key in (("own", "RssAnon"), ("mapped", "RssFile"))}
    percentiles = {name: np.percentile(values, [50, 95]).tolist() for name, values in taken.items()}
    return {
        **percentiles,
        **resident,
        "images": len(memory),
        "ready": ready,
        "found": np.mean(recalls) if recalls else 1.0,
    }


def first_shards(
    directory: Path, memory: GalleryMemory, share: float, shard_images: int = SHARD_IMAGES
) -> GalleryMemory:
    """Return a gallery memory that consists only of the first shards of another one.

    Args:
        directory: Folder of the gallery memory.
        memory: The whole gallery memory.
        share: Share of the shards to use.
        shard_images: Number of images in a shard.
    """
    paths = sorted(directory.glob("tokens-*.npy"))
    paths = paths[: max(1, round(share * len(paths)))]
    images = min(len(paths) * shard_images, len(memory))
    sums = np.load(directory / "sums.npy")[:images]
    tokens = TokenShards(paths, (images, CONFIG.patches, CONFIG.width), shard_images, sums)
    return replace(
        memory,
        cls=memory.cls[:images],
        tokens=tokens,
        features=memory.features[:images],
        records=memory.records[:images],
    )


def measure(folder: Path, images: int, processes: int) -> None:
    start = time.perf_counter()
    if not (folder / "noise" / "dataset.json").is_file():
        make_gallery(folder / "noise", images, processes)
        print(f"{images:,} images made in {time.perf_counter() - start:.0f} s", flush=True)
    places = Places(folder / "noise", folder / "model.safetensors", folder / "memory")
    make_weights(places.weights, CONFIG)
    environment = {**os.environ, "FPC_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    where = ["--data", str(places.data), "--weights", str(places.weights), "--memory", str(places.memory)]
    run = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    build = ["-m", "fpc_core", "memory", "build", *where, "--device", "cpu", "--batch-size", str(BATCH)]
    built = cost([*run, *build], environment, folder / "log")
    print(
        f"build, {processes} processes: {built.wall:.0f} s, {images / built.wall:.0f} images a second, "
        f"{built.cpu:.0f} CPU seconds, peak of the larger process {built.peak:.0f} MB"
    )
    sizes = {path.name: path.stat().st_size / 1e6 for path in places.memory.iterdir()}
    tokens = [size for name, size in sizes.items() if name.startswith("tokens")]
    print(f"on disk: {sum(sizes.values()):.0f} MB, of which tokens {sum(tokens):.0f} MB in {len(tokens)} files")

    def run_task(*task: str) -> dict[str, Any]:
        command = ["-m", "benchmarks.half_million", "--folder", str(folder), "--task", *task]
        cost(command, environment, folder / "log")
        return json.loads((folder / "log").read_text().splitlines()[-1])

    print("seconds to open: " + ", ".join(f"{name} {value:.2f}" for name, value in run_task("opening").items()))
    print(
        "\n| images | shortlist | query p50 | p95 | CPU | of it index | ranking | found | ready s | MB own | mapped |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for share in SHARES:
        for kind in INDEXES:
            result = run_task(kind, str(share))
            figures = (*result["whole"], result["cpu"][0], result["index"][0], result["ranking"][0])
            times = " | ".join(f"{value:.1f}" for value in figures)
            resources = f"{result['ready']:.1f} | {result['own']:.0f} | {result['mapped']:.0f}"
            print(f"| {result['images']:,} | {kind} | {times} | {result['found']:.1%} | {resources} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=GALLERY)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="folder in which all files are kept (default: a temporary folder)")
    parser.add_argument("--task", nargs="+", help=argparse.SUPPRESS)  # Step that a child process runs.
    arguments = parser.parse_args()
    folder = arguments.folder
    if arguments.task:
        places = Places(folder / "noise", folder / "model.safetensors", folder / "memory")
        kind, *share = arguments.task
        print(json.dumps(searching(places, kind, float(share[0])) if share else opening(places)))
    elif folder:
        measure(folder, arguments.images, arguments.processes)
    else:
        with tempfile.TemporaryDirectory() as made:
            measure(Path(made), arguments.images, arguments.processes)


if __name__ == "__main__":
    main()
