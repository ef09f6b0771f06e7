"""Images encoded by an evaluation, the released code's way and ours, and what that costs.

    python -m benchmarks.encoding [--queries 60 --gallery 130] [--rounds 3]

The released `test.py` first encodes all of query + gallery at keep rate 1 for the memory (and throws the queries' part
away), then `do_inference` encodes the queries again at the keep rate and the gallery again at keep rate 1 for its
features. Every pass runs block 12 and the global head as well, for the memory and for the queries too, whose result is
not used. Here the gallery is encoded once, by `build_memory`, which keeps tokens and features of the same pass, and the
queries once at the keep rate, by the evaluation's own `encoder_state` and `Retriever.encode`.

Counted are the images that enter the patch embedding. Both ways decode the same files and take turns. The released
passes are run twice: with our encoder, so that nothing but the number of passes and the unused heads differs, and with
the released arithmetic (`released_path.encode`: the full attention matrix in every block). Matching is left out of all.
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

import fpc_core  # noqa: F401  before timm
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
Pass = Callable[[Tensor, Tensor, float], Tensor]  # images (B, 3, H, W), cameras (B,), keep rate -> features (B, C)


def ours(model: FPC, dataset: Dataset) -> None:
    """What `memory build` and `evaluate` encode."""
    prune = QuerySettings().prune
    with tempfile.TemporaryDirectory() as folder:
        memory = build_memory(model, dataset.gallery, dataset.root, Path(folder) / "memory", batch_size=BATCH)
        retriever = Retriever(model, memory)
        for start in range(0, len(dataset.query), BATCH):
            records = dataset.query[start : start + BATCH]
            retriever.encode(encoder_state(retriever, dataset, records, prune.blocks[0]), prune)


@torch.inference_mode()
def released(model: FPC, dataset: Dataset, run: Pass) -> None:
    """The three loops of the released evaluation."""
    for records, keep_rate in (
        ((*dataset.query, *dataset.gallery), 1.0),  # test.py: the memory
        (dataset.query, QuerySettings().prune.keep_rate),  # do_inference: queries
        (dataset.gallery, 1.0),  # do_inference: gallery features
    ):
        for start in range(0, len(records), BATCH):
            run(*batch(model, dataset, records[start : start + BATCH]), keep_rate)


def batch(model: FPC, dataset: Dataset, records: tuple[ImageRecord, ...]) -> tuple[Tensor, Tensor]:
    config = model.config
    images = to_tensor([resize_image(dataset.read(record), config.image_size) for record in records], config)
    return images, torch.tensor([record.camera for record in records])


def passes(model: FPC) -> dict[str, Pass]:
    """One pass over a batch, by our encoder and by the released arithmetic, each with block 12 and head."""

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
    for _ in range(arguments.rounds + 1):  # the first warms up; they take turns, so that a slow minute slows all
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
