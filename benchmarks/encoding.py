"""Count the images that an evaluation encodes in the released code and in ours, and measure the time.

    python -m benchmarks.encoding [--queries 60 --gallery 130] [--rounds 3]

The released `test.py` first encodes all queries and gallery images at keep rate 1 for the gallery memory, and discards
the tokens of the queries. Then `do_inference` encodes the queries at the keep rate, and the gallery again at keep rate
1 for its features. Every pass also runs block 12 and the global head, even where their result is not used. Our code
encodes the gallery once, in `build_memory`, which stores tokens and features of the same pass. It encodes the queries
once at the keep rate, with `encoder_state` and `Retriever.encode` as in an evaluation.

The script counts the images that enter the patch embedding. Both implementations decode the same files and run in turn.
The released passes run twice: with our encoder, so that only the number of passes and the unused heads differ, and with
the released arithmetic (`released_path.encode`, with the full attention matrix in every block). Matching is excluded.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

import fpc_core.model  # noqa: F401  must come before timm
from benchmarks.released_path import encode, global_feature
from fpc_core.config import PruneSettings, QuerySettings
from fpc_core.data.datasets import Dataset, ImageRecord, open_dataset
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.evaluation.engine.protocol import encoder_state
from fpc_core.gallery.builder import build_memory
from fpc_core.model.checkpoint import load_checkpoint
from fpc_core.model.fpc import FPC
from fpc_core.retrieval import Retriever
from fpc_core.workspace import Places

BATCH = 32
# Function of images (B, 3, H, W), cameras (B,) and a keep rate that returns features (B, C).
Pass = Callable[[Tensor, Tensor, float], Tensor]


def ours(model: FPC, dataset: Dataset) -> None:
    """Encode the images that `memory build` and `evaluate` encode."""
    prune = QuerySettings().prune
    with tempfile.TemporaryDirectory() as folder:
        memory = build_memory(model, dataset.gallery, dataset.root, Path(folder) / "memory", batch_size=BATCH)
        retriever = Retriever(model, memory)
        for start in range(0, len(dataset.query), BATCH):
            records = dataset.query[start : start + BATCH]
            retriever.encode(encoder_state(retriever, dataset, records, prune.blocks[0]), prune)


@torch.inference_mode()
def released(model: FPC, dataset: Dataset, run: Pass) -> None:
    """Run the three loops of the released evaluation.

    Args:
        model: Model whose architecture determines the input size.
        dataset: Dataset to encode.
        run: Function that encodes a batch.
    """
    for records, keep_rate in (
        ((*dataset.query, *dataset.gallery), 1.0),  # Gallery memory in test.py.
        (dataset.query, QuerySettings().prune.keep_rate),  # Queries in do_inference.
        (dataset.gallery, 1.0),  # Gallery features in do_inference.
    ):
        for start in range(0, len(records), BATCH):
            run(*batch(model, dataset, records[start : start + BATCH]), keep_rate)


def batch(model: FPC, dataset: Dataset, records: tuple[ImageRecord, ...]) -> tuple[Tensor, Tensor]:
    """Return the images (B, 3, H, W) and cameras (B,) of records."""
    config = model.config
    images = to_tensor([resize_image(dataset.read(record), config.image_size) for record in records], config)
    return images, torch.tensor([record.camera for record in records])


def passes(model: FPC) -> dict[str, Pass]:
    """Return functions that encode a batch with our encoder and with the released one, including block 12 and head."""

    def fast(images: Tensor, cameras: Tensor, keep_rate: float) -> Tensor:
        return model(images, cameras, PruneSettings(keep_rate))

    def slow(images: Tensor, cameras: Tensor, keep_rate: float) -> Tensor:
        return global_feature(model, encode(model, images, cameras, keep_rate))

    return {"released passes, our encoder": fast, "released passes, released arithmetic": slow}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--queries", type=int, default=60)
    parser.add_argument("--gallery", type=int, default=130)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    model, _ = load_checkpoint(Places().weights)
    whole = open_dataset(Places().data)
    dataset = replace(whole, query=whole.query[: arguments.queries], gallery=whole.gallery[: arguments.gallery])
    counted: list[int] = []
    model.encoder.patch_embed.register_forward_hook(lambda _, images, __: counted.append(len(images[0])))

    ways: dict[str, Callable[[], None]] = {"ours": lambda: ours(model, dataset)}
    for name, run in passes(model).items():
        ways[name] = lambda run=run: released(model, dataset, run)
    images: dict[str, int] = {}
    wall: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    # The first round is a warm-up. All run in turn, so that a slow phase of the machine affects all of them.
    for _ in range(arguments.rounds + 1):
        for name, work in ways.items():
            counted.clear()
            start, spent = time.perf_counter(), time.process_time()
            work()
            wall[name].append(time.perf_counter() - start)
            cpu[name].append(time.process_time() - spent)
            images[name] = sum(counted)
    print(
        f"{torch.get_num_threads()} threads, {len(dataset.query)} queries and {len(dataset.gallery)} gallery images of "
        f"{whole.name}, {model.config.width} channels x {model.config.patches} patches, median of {arguments.rounds}\n"
    )
    print("| way | images encoded | ratio | wall s | CPU s | CPU ratio |\n|---|---|---|---|---|---|")
    least = median(cpu["ours"][1:])
    for name in ways:
        spent = median(cpu[name][1:])
        print(
            f"| {name} | {images[name]} | {images[name] / images['ours']:.2f} | {median(wall[name][1:]):.1f} | "
            f"{spent:.1f} | {spent / least:.2f} |"
        )


if __name__ == "__main__":
    main()
