"""Run the evaluation of the released code (`test.py` and `do_inference`) with its arithmetic and redundant work.

    memory     Encode query and gallery images at keep rate 1. Copy tokens to main memory; drop queries.
    queries    Copy the gallery memory to the device. Encode queries at keep rate 0.8 in batches of 16, match them
               one by one, and run the whole decoder block for the batch.
    gallery    Encode gallery images again at keep rate 1 for their features.
    scores     Compute distances and CMC with our functions, which are faster.

The time in the released code's log ("Inference completed in 128.79 seconds") covers the last three steps. Every pass
runs block 12 and the head, even if their results are not used. Threads decode images ahead, instead of the worker
processes of a DataLoader.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import torch
from torch import Tensor

from benchmarks.encoding import batch
from benchmarks.query import wait_for
from benchmarks.released_path import Gallery, block, encode, find_by_both, find_by_cosine, global_feature, timed
from fpc_core.data.datasets import Dataset, ImageRecord
from fpc_core.evaluation.engine.protocol import feature_distance, score_distance
from fpc_core.evaluation.metrics.retrieval import l2_normalize
from fpc_core.model.fpc import FPC
from fpc_core.results import Scores

BATCH = 16  # TEST.IMS_PER_BATCH in the released code's log.
WORKERS = 8  # DATALOADER.NUM_WORKERS in the released code's log.
KEEP_RATE, ALPHA, NEIGHBORS, SHORTLIST = 0.8, 0.4, 10, 100


@dataclass(eq=False)
class ReleasedEvaluation:
    """A run of the released evaluation: call `make_memory`, then `infer`.

    Attributes:
        model: Model in eval mode.
        dataset: Dataset to evaluate.
        seconds: Duration of each step.
        queries: (Q, C) consolidated features of the queries on the CPU, after `infer`.
        features: (G, C) features of the gallery on the CPU, after `infer`.
    """

    model: FPC
    dataset: Dataset
    seconds: dict[str, float] = field(default_factory=dict)
    queries: Tensor = field(default_factory=lambda: torch.empty(0))
    features: Tensor = field(default_factory=lambda: torch.empty(0))
    _cls: Tensor = field(default_factory=lambda: torch.empty(0))
    _patches: Tensor = field(default_factory=lambda: torch.empty(0))

    @property
    def device(self) -> torch.device:
        """Return the device of the model."""
        return next(self.model.parameters()).device

    @torch.no_grad()
    def make_memory(self) -> None:
        """Encode all images and store the tokens of the gallery in float32 in main memory."""
        config, records = self.model.config, (*self.dataset.query, *self.dataset.gallery)
        with timed(self.seconds, "memory"):
            cls, patches = (
                torch.zeros(len(records), config.width),
                torch.zeros(len(records), config.patches, config.width),
            )
            start = 0
            for images, cameras in self._batches(records):
                tokens = encode(self.model, images, cameras, 1.0)
                global_feature(self.model, tokens)
                end = start + len(tokens)
                cls[start:end], patches[start:end] = tokens[:, 0].cpu(), tokens[:, 1:].cpu()
                start = end
            self._cls, self._patches = cls[len(self.dataset.query) :], patches[len(self.dataset.query) :]

    @torch.no_grad()
    def infer(self) -> Scores:
        """Run the steps whose time is in the released code's log, and return the scores."""
        with timed(self.seconds, "queries"):
            gallery = Gallery(self._cls.to(self.device), self._patches.to(self.device), torch.empty(0))
            self.queries = torch.cat(
                [self._consolidated(*given, gallery).cpu() for given in self._batches(self.dataset.query)]
            )
        with timed(self.seconds, "gallery"):
            self.features = torch.cat(
                [
                    global_feature(self.model, encode(self.model, *given, 1.0)).cpu()
                    for given in self._batches(self.dataset.gallery)
                ]
            )
        with timed(self.seconds, "scores"):
            distance = feature_distance(self.queries.numpy(), l2_normalize(self.features.numpy()))
            return score_distance(distance, self.dataset.query, self.dataset)

    def _consolidated(self, images: Tensor, cameras: Tensor, gallery: Gallery) -> Tensor:
        """Return the consolidated features (B, C) of queries.

        Args:
            images: (B, 3, H, W) query images.
            cameras: (B,) cameras of the queries.
            gallery: Gallery to search.
        """
        model, tokens = self.model, encode(self.model, images, cameras, KEEP_RATE)
        global_feature(model, tokens)
        inputs = []
        for query in tokens:
            by_cosine = find_by_cosine(query[0], gallery.cls, SHORTLIST)
            rows = find_by_both(query[0], query[1:], gallery, by_cosine, ALPHA, NEIGHBORS)
            mean = gallery.cls[rows].mean(dim=0, keepdim=True)
            inputs.append(torch.cat((mean, gallery.patches[rows].flatten(0, 1))))
        decoded = model.decoder.norm(block(model.decoder.block, torch.stack(inputs))[0])
        return model.rec_bottleneck(decoded[:, 0])

    def _batches(self, records: Sequence[ImageRecord]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images and cameras on the device. One batch per worker is decoded ahead."""
        parts = [tuple(records[start : start + BATCH]) for start in range(0, len(records), BATCH)]
        with ThreadPoolExecutor(WORKERS) as pool:
            ahead: list[Future[tuple[Tensor, Tensor]]] = []
            for index in range(len(parts) + WORKERS):
                if index < len(parts):
                    ahead.append(pool.submit(batch, self.model, self.dataset, parts[index]))
                if index >= WORKERS and ahead:
                    images, cameras = ahead.pop(0).result()
                    yield images.to(self.device), cameras.to(self.device)
        wait_for(self.device)
