"""Training loop over both stages: first the holistic ViT with L_S (Eq. 3), then FPC with L = L_S + L_C (Eq. 15)."""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from fpc_core.config import ModelConfig
from fpc_core.data.datasets import Dataset
from fpc_core.model.checkpoint import save_checkpoint
from fpc_core.model.fpc import FPC
from fpc_core.runtime import distributed
from fpc_core.training.batches import (
    TrainingImages,
    augment,
    augment_masks,
    load_person_masks,
    load_training_images,
    most_similar_classes,
    sample_identities,
)
from fpc_core.training.settings import Progress, TrainSettings
from fpc_core.training.stages import StageLoss, TrainingMemory, autocast, encode_memory, start_from_class_means
from fpc_core.training.state import STATE, WEIGHTS, append_log, copy_weights, cut_log, restore_state, save_state

_REPORT_EVERY = 10  # Number of steps between two reports.
_PACE_REPORTS = 20  # Number of reports over which the pace is averaged.


def train(
    dataset: Dataset,
    config: ModelConfig,
    settings: TrainSettings,
    out: Path,
    *,
    init: FPC | None = None,
    device: torch.device | str = "cpu",
    report: Callable[[Progress], None] | None = None,
    stop_after: int | None = None,
) -> FPC:
    """Train on the training split of a dataset, and write model.safetensors and log.csv to `out`.

    A stopped run resumes from its last checkpoint. Under torchrun, every process calls this function, computes its
    share of each batch and returns the same weights.

    Args:
        dataset: Dataset to train on.
        config: Architecture of the model; its `identities` is replaced by the number of training identities.
        settings: Settings of the run.
        out: Output folder.
        init: Model with the same config to start from.
        device: Device to train on.
        report: Function that is called with the progress every 10 steps.
        stop_after: Number of the step after which the run stops with a checkpoint; None to run to the end.

    Raises:
        DatasetError: The dataset is not suitable for training.
        ValueError: The settings do not match the model or the number of processes, or the state in `out` belongs to
            another run.
    """
    device = distributed.local_device(torch.device(device))
    with distributed.process_group(device), _reproducible(device):
        images = load_training_images(dataset, config)
        person = load_person_masks(dataset, config) if settings.guide else None
        batch = min(settings.identities, images.classes)
        if batch % distributed.world_size():
            raise ValueError(
                f"{batch} identities in a batch cannot be split evenly across {distributed.world_size()} processes; "
                "change --identities or the number of processes"
            )
        torch.manual_seed(settings.seed)
        model = FPC(replace(config, identities=images.classes), settings.drop_path)
        if init is not None:
            model.load_state_dict(init.state_dict())
        elif settings.frozen_blocks and not (out / STATE).is_file():
            raise ValueError("frozen_blocks needs initial weights; pass a checkpoint with --init")
        freeze(model, settings.frozen_blocks)
        run = _Run(model.to(device).train(), images, person, settings, out, report)
        run.until(settings.steps if stop_after is None else min(stop_after, settings.steps))
        model.eval()
        if settings.shared_space:
            model.rec_classifier.load_state_dict(model.classifier.state_dict())
        if distributed.rank() == 0:
            save_checkpoint(model, out / WEIGHTS, torch.float16)
        distributed.barrier()
        return model


def freeze(model: FPC, blocks: int) -> None:
    """Exclude the first blocks of the Vision Transformer, and the embeddings before them, from training.

    Args:
        model: Model to train.
        blocks: Number of blocks, counted over encoder and global head; 0 excludes nothing.

    Raises:
        ValueError: The model has fewer blocks.
    """
    every = [*model.encoder.blocks, *model.head.blocks]
    if blocks > len(every):
        raise ValueError(f"frozen_blocks is {blocks}, but the model has only {len(every)} blocks")
    if blocks:
        model.encoder.requires_grad_(False)
    for number, block in enumerate(every):
        block.requires_grad_(number >= blocks)


class _Run:
    """A training run, from the state in `out` to the end of the schedule."""

    def __init__(
        self,
        model: FPC,
        images: TrainingImages,
        person: Tensor | None,
        settings: TrainSettings,
        out: Path,
        report: Callable[[Progress], None] | None,
    ) -> None:
        self.model, self.images, self.settings, self.out, self.report = model, images, settings, out, report
        self.person = person
        self.device = next(model.parameters()).device
        self.first = distributed.rank() == 0
        self.optimizer = torch.optim.AdamW(_groups(model, settings.weight_decay), lr=settings.learning_rate)
        self.state = restore_state(out, model, self.optimizer, settings, distributed.world_size())
        self.memory = self._encode_memory_with(self.state.memory_weights)
        if settings.class_means and self.state.step == 0:
            start_from_class_means(model, encode_memory(model, images, settings), images.labels)
        self.loss: nn.Module = StageLoss(model, settings, images)
        if distributed.world_size() > 1:
            # The first stage does not use the decoder. Every rank computes BNNeck statistics over the whole batch.
            self.loss = DistributedDataParallel(self.loss, find_unused_parameters=True, forward_sync_buffers=False)
        if self.first:
            out.mkdir(parents=True, exist_ok=True)
            cut_log(out, self.state.step)

    def until(self, end: int) -> None:
        """Train until step `end` or until `max_minutes` have passed, and write a checkpoint."""
        settings, before = self.settings, self.state.seconds
        start = saved = time.monotonic()
        pace = deque([(self.state.step, before)], _PACE_REPORTS)
        while self.state.step < end:
            share = self.state.step / settings.steps
            if settings.max_minutes:
                seconds = distributed.broadcast_from_rank0(before + time.monotonic() - start)
                share = max(share, seconds / (60 * settings.max_minutes))
            if share >= 1:
                break
            rate = settings.learning_rate * _schedule(share, settings.warmup)
            holistic = share < settings.holistic_steps / settings.steps
            whole = share >= (settings.holistic_steps - settings.whole_steps) / settings.steps
            loss = self._step(rate, holistic, whole)
            seconds = before + time.monotonic() - start
            self.state = replace(self.state, step=self.state.step + 1, seconds=seconds)
            if self.first and (self.state.step % _REPORT_EVERY == 0 or self.state.step == end):
                self._report_progress(loss, "holistic" if holistic else "fpc", rate, pace)
            if time.monotonic() - saved > 60 * settings.checkpoint_minutes:
                self._save()
                saved = time.monotonic()
        self._save()

    def _step(self, rate: float, holistic: bool, whole: bool) -> Tensor:
        settings, step = self.settings, self.state.step
        if holistic:
            memory = None
        else:
            if self.memory is None or step % settings.refresh == 0:
                self.state = replace(self.state, memory_weights=copy_weights(self.model))
                self.memory = encode_memory(self.model, self.images, settings)
            memory = self.memory
        # All ranks sample the same batch, but random numbers within the model may differ between ranks.
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        torch.manual_seed(settings.seed * 1_000_003 + step * distributed.world_size() + distributed.rank())
        similar = None
        if settings.look_alikes:
            similar = most_similar_classes(self.model.classifier.weight, settings.look_alikes)
        rows = sample_identities(self.images.labels, settings.identities, settings.images, generator, similar)
        seeds = torch.randint(1 << 62, (len(rows),), generator=generator)
        own, own_seeds = distributed.local_shard(rows), distributed.local_shard(seeds)
        pixels = augment(self.images.pixels[own], self.model.config, settings.erase, own_seeds).to(self.device)
        person = None
        if self.person is not None and not holistic:
            person = augment_masks(self.person[own], settings.erase, own_seeds).to(self.device)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with autocast(settings, self.device):
            loss = self.loss(pixels, rows, step, memory, person, whole)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()
        return loss.detach()

    def _report_progress(self, loss: Tensor, stage: str, rate: float, pace: deque[tuple[int, float]]) -> None:
        """Log and report a step; raise ValueError if the loss is not finite."""
        state, settings = self.state, self.settings
        if not math.isfinite(loss):
            raise ValueError(f"the loss is {float(loss)} at step {state.step}; use a lower learning rate")
        step, seconds = pace[0]
        eta = (state.seconds - seconds) / (state.step - step) * (settings.steps - state.step)
        if settings.max_minutes:
            eta = min(eta, max(0.0, 60 * settings.max_minutes - state.seconds))
        pace.append((state.step, state.seconds))
        progress = Progress(state.step, stage, float(loss), rate, state.seconds, eta)
        append_log(self.out, progress)
        if self.report:
            self.report(progress)

    def _save(self) -> None:
        if self.first:
            save_state(self.out, self.state, self.model, self.optimizer, self.settings, distributed.world_size())

    def _encode_memory_with(self, weights: dict[str, Tensor] | None) -> TrainingMemory | None:
        """Encode the training memory with the weights that encoded it before the run stopped."""
        if weights is None:
            return None
        current = copy_weights(self.model)
        self.model.load_state_dict(weights)
        memory = encode_memory(self.model, self.images, self.settings)
        self.model.load_state_dict(current)
        return memory


def _schedule(share: float, warmup: float) -> float:
    """Return the factor of the learning rate when a share of the run, in [0, 1], is done.

    The schedule is a linear warm-up, followed by a cosine that decreases to 1 %.
    """
    if share < warmup:
        return max(share / warmup, 0.02)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (share - warmup) / (1 - warmup)))


def _groups(model: FPC, weight_decay: float) -> list[dict[str, Any]]:
    """Return the optimizer's parameter groups, with weight decay for matrices but not for vectors and embeddings."""
    embeddings = {"encoder.cls_token", "encoder.position", "encoder.camera"}
    decayed: list[nn.Parameter] = []
    undecayed: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (undecayed if parameter.ndim < 2 or name in embeddings else decayed).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": undecayed, "weight_decay": 0.0}]


@contextmanager
def _reproducible(device: torch.device) -> Iterator[None]:
    """Use deterministic kernels on CUDA within the context; torch only warns where it has none."""
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # CuBLAS reads this when its first handle is created.
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
