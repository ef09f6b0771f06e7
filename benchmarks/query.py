"""Compare a whole query with the released code, and time every change of a setting, on a gallery of random tokens.

    python -m benchmarks.query [--repeats 9]

The script prints Markdown tables. Both implementations use the same weights, image and gallery (600 images with random
float16 tokens around those of the model). The released code stores its gallery in float32, and its solver uses its own
loose stopping rule. `difference` is the largest difference between the consolidated features if both implementations
use the released solver.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch

import fpc_core.model  # noqa: F401  must come before timm
from benchmarks.released_path import Gallery, released_query
from fpc_core.config import VIT_BASE_STRIDE_11, VIT_TINY, ModelConfig, PruneSettings, QuerySettings, Solver
from fpc_core.config import TransportSettings as Transport
from fpc_core.data.datasets import ImageRecord
from fpc_core.gallery.memory import GalleryMemory
from fpc_core.model.fpc import FPC
from fpc_core.retrieval import Retriever

MODELS = {"ViT-B, 242 patches": VIT_BASE_STRIDE_11, "ViT-Tiny, 128 patches": VIT_TINY}
IMAGES = 600
CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class Bench:
    """A model with its gallery and a query, for both implementations.

    Attributes:
        retriever: Our retriever with its gallery memory.
        gallery: The same gallery for the released code.
        image: (1, 3, H, W) query image.
        camera: (1,) camera of the query.
    """

    retriever: Retriever
    gallery: Gallery
    image: torch.Tensor
    camera: torch.Tensor


@torch.inference_mode()
def prepare(config: ModelConfig, device: torch.device = CPU) -> Bench:
    """Make a random model, a noise image, and a gallery whose tokens scatter around the tokens of that image.

    All tensors are on `device`, except the gallery memory, which our code copies to the device itself.
    """
    torch.manual_seed(0)
    model = FPC(config).eval()
    model.bottleneck.running_var.fill_(1.0)
    image = torch.rand(1, 3, *config.image_size) * 2 - 1
    camera = torch.tensor([0])
    tokens = model.encode(image, camera, PruneSettings(1.0)).tokens[0]
    spread = tokens.std()
    cls = tokens[0] + spread * torch.randn(IMAGES, config.width)
    patches = (tokens[1:] + spread * torch.randn(IMAGES, config.patches, config.width)).half()
    features = torch.randn(IMAGES, config.width)
    records = tuple(ImageRecord(Path(f"{row}.jpg"), row, 0, "gallery") for row in range(IMAGES))
    memory = GalleryMemory(cls.numpy(), patches.numpy(), features.numpy(), records, config.grid)
    theirs = Gallery(cls.to(device), patches.to(device).float(), features.to(device))
    return Bench(Retriever(model.to(device), memory), theirs, image.to(device), camera.to(device))


def milliseconds(
    ways: Mapping[str, Callable[[], object]], repeats: int, device: torch.device = CPU
) -> dict[str, float]:
    """Return the median time of each function in milliseconds, after one untimed run.

    The functions are called in turn, so that a slow phase of the machine affects all of them.

    Args:
        ways: Functions to time, by name.
        repeats: Number of timed runs.
        device: Device whose work must be complete at the end of each run.
    """
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats + 1):
        for name, run in ways.items():
            start = time.perf_counter()
            run()
            wait_for(device)
            taken[name].append(1000 * (time.perf_counter() - start))
    return {name: median(values[1:]) for name, values in taken.items()}


def wait_for(device: torch.device) -> None:
    """Wait until all work on a GPU is complete. Do nothing for a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    print(f"{torch.get_num_threads()} threads, median of {repeats}, keep rate 0.8, alpha 0.4, K = 10, shortlist 100\n")
    for name, config in MODELS.items():
        bench = prepare(config)
        whole(name, bench, repeats)
        moves(bench, repeats)


def whole(name: str, bench: Bench, repeats: int) -> None:
    settings = QuerySettings()
    same = replace(settings, transport=Transport(Solver.RELEASED))
    ours = bench.retriever.search(bench.image, same, bench.camera)
    theirs = released_query(bench.retriever.model, bench.gallery, bench.image, bench.camera)
    difference = float((torch.from_numpy(ours.consolidation.feature) - theirs.feature).abs().max())
    took = milliseconds(
        {
            "ours": lambda: bench.retriever.search(bench.image, settings, bench.camera),
            "released": lambda: released_query(bench.retriever.model, bench.gallery, bench.image, bench.camera),
        },
        repeats,
    )
    print(f"### {name}\n\n| whole query | ms | |\n|---|---|---|")
    print(f"| released path | {took['released']:.1f} | 1 |")
    ratio = took["released"] / took["ours"]
    print(f"| ours | {took['ours']:.1f} | {ratio:.1f}x faster; difference {difference:.0e} |\n")


def moves(bench: Bench, repeats: int) -> None:
    retriever, settings = bench.retriever, QuerySettings()
    state = retriever.prepare(bench.image, bench.camera)
    encoding = retriever.encode(state, settings.prune)
    match = retriever.match(encoding, settings)
    took = milliseconds(
        {
            "whole query": lambda: retriever.search(bench.image, settings, bench.camera),
            "keep rate moved, encoder state reused": lambda: retriever.search(state, settings),
            "alpha moved": lambda: retriever.finish(encoding, match, replace(settings, alpha=0.6)),
            "K moved": lambda: retriever.finish(encoding, match, replace(settings, neighbors=5)),
        },
        repeats,
    )
    print("| move | ms | share of a whole query |\n|---|---|---|")
    for name, value in took.items():
        print(f"| {name} | {value:.1f} | {value / took['whole query']:.0%} |")
    print()


if __name__ == "__main__":
    main()
