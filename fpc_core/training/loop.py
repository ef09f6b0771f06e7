"""The two stages of training: the holistic ViT that fills the memory, then FPC with L = L_S + L_C (Eq. 15)."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fpc_core.config import DropStrategy, ModelConfig, PruneSettings, Variant
from fpc_core.data.datasets import Dataset
from fpc_core.model.checkpoint import save_checkpoint
from fpc_core.model.decoder import cls_row
from fpc_core.model.fpc import FPC, decoder_input
from fpc_core.training.batches import TrainingImages, augment, choose_neighbors, load_training_images, sample_identities
from fpc_core.training.losses import identity_and_triplet

STATE, LOG, WEIGHTS = "state.pt", "log.csv", "model.safetensors"


@dataclass(frozen=True)
class TrainSettings:
    """A recipe. Equal recipe, data and device give equal weights, unless `max_minutes` ends a run early.

    patch_keep: share of patches that the holistic stage sees (a random half trains twice as fast).
    refresh: steps between two encodings of the training memory.  max_minutes: the schedule is squeezed to end by then.
    """

    holistic_steps: int = 2400
    fpc_steps: int = 600
    identities: int = 16
    images: int = 4
    learning_rate: float = 5e-4
    weight_decay: float = 0.05
    warmup: float = 0.08
    patch_keep: float = 0.5
    keep_rate: float = 0.8
    neighbors: int = 10
    refresh: int = 150
    erase: float = 0.5
    drop_path: float = 0.05
    seed: int = 0
    bfloat16: bool = False
    checkpoint_minutes: float = 3.0
    max_minutes: float | None = None


@dataclass(frozen=True)
class Progress:
    """One step, as logged. seconds: so far; eta: seconds to the end of the schedule."""

    step: int
    stage: str
    loss: float
    learning_rate: float
    seconds: float
    eta: float


@dataclass(frozen=True, eq=False)
class _Memory:
    cls: Tensor  # (n, C)
    tokens: Tensor  # (n, N, C) float16


def train(
    dataset: Dataset,
    config: ModelConfig,
    settings: TrainSettings,
    out: Path,
    *,
    device: torch.device | str = "cpu",
    report: Callable[[Progress], None] | None = None,
    stop_after: int | None = None,
) -> FPC:
    """Train on the training split of `dataset`; write model.safetensors and log.csv into `out`.

    config.identities is replaced by the number of training identities. A run that was stopped goes on from its last
    checkpoint. stop_after: leave after that many steps, with a checkpoint. Raises DatasetError or ValueError.
    """
    out.mkdir(parents=True, exist_ok=True)
    images = load_training_images(dataset, config)
    config = ModelConfig(**(asdict(config) | {"identities": images.classes}))
    torch.manual_seed(settings.seed)
    model = FPC(config, settings.drop_path).to(device).train()
    optimizer = torch.optim.AdamW(_groups(model, settings.weight_decay), lr=settings.learning_rate)
    generator = torch.Generator().manual_seed(settings.seed)
    total = settings.holistic_steps + settings.fpc_steps
    step, before, memory = 0, 0.0, None
    if (out / STATE).is_file():
        step, before, memory = _restore(out / STATE, model, optimizer, generator, settings)
    start = saved = time.monotonic()
    while step < total:
        seconds = before + time.monotonic() - start
        share = max(step / total, seconds / (60 * settings.max_minutes) if settings.max_minutes else 0.0)
        if share >= 1 or step == stop_after:
            break
        rate = settings.learning_rate * _schedule(share, settings.warmup)
        for group in optimizer.param_groups:
            group["lr"] = rate
        holistic = share < settings.holistic_steps / total
        if not holistic and (memory is None or step % settings.refresh == 0):
            memory = _encode_all(model, images, settings)
        rows = sample_identities(images.labels, settings.identities, settings.images, generator)
        pixels = augment(images.pixels[rows], settings.erase, generator).to(device)
        with _autocast(settings, device):
            if holistic:
                loss = _holistic_loss(model, pixels, images, rows, settings, step)
            else:
                loss = _fpc_loss(model, pixels, images, rows, settings, memory, step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        step += 1
        seconds = before + time.monotonic() - start
        told = Progress(
            step,
            "holistic" if holistic else "fpc",
            float(loss.detach()),
            rate,
            seconds,
            seconds / max(share, 1e-3) - seconds,
        )
        if step % 10 == 0 or step == total:
            _log(out / LOG, told)
            if report:
                report(told)
        if time.monotonic() - saved > 60 * settings.checkpoint_minutes:
            _save(out / STATE, model, optimizer, generator, settings, step, seconds, memory)
            saved = time.monotonic()
    _save(out / STATE, model, optimizer, generator, settings, step, before + time.monotonic() - start, memory)
    model.eval()
    save_checkpoint(model, out / WEIGHTS, torch.float16)
    return model


def _holistic_loss(
    model: FPC, pixels: Tensor, images: TrainingImages, rows: Tensor, settings: TrainSettings, step: int
) -> Tensor:
    """L_S (Eq. 3) of the ViT without `[cls]`-guided dropping; a random share of the patches is seen."""
    prune = PruneSettings(settings.patch_keep, DropStrategy.RANDOM, blocks=(0,), seed=settings.seed + step)
    labels, cameras = images.labels[rows].to(pixels.device), images.cameras[rows].to(pixels.device)
    token = model.global_token(model.encode(pixels, cameras, prune).tokens)
    return identity_and_triplet(model.classifier(model.bottleneck(token)), token, labels)


def _fpc_loss(
    model: FPC,
    pixels: Tensor,
    images: TrainingImages,
    rows: Tensor,
    settings: TrainSettings,
    memory: _Memory | None,
    step: int,
) -> Tensor:
    """L = L_S + L_C (Eq. 15): the pruned query, and its consolidation with neighbours of the training memory.

    Steps alternate between the decoder inputs of the paper and of the released code, so the weights serve both.
    """
    if memory is None:
        raise ValueError("the second stage needs the training memory")
    labels, cameras = images.labels[rows].to(pixels.device), images.cameras[rows].to(pixels.device)
    encoding = model.encode(pixels, cameras, PruneSettings(settings.keep_rate))
    token = model.global_token(encoding.tokens)
    near = choose_neighbors(
        memory.cls, images.labels, images.cameras, rows, settings.neighbors, encoding.cls.detach().float().cpu()
    )
    variant = Variant.PAPER if step % 2 else Variant.RELEASED
    seen = decoder_input(
        encoding.cls,
        encoding.patches,
        memory.cls[near].to(pixels.device, encoding.cls.dtype),
        memory.tokens[near].to(pixels.device, encoding.cls.dtype),
        variant,
    )
    consolidated = model.decoder.norm(cls_row(model.decoder.block, seen)[0])
    return identity_and_triplet(model.classifier(model.bottleneck(token)), token, labels) + identity_and_triplet(
        model.rec_classifier(model.rec_bottleneck(consolidated)), consolidated, labels
    )


@torch.no_grad()
def _encode_all(model: FPC, images: TrainingImages, settings: TrainSettings) -> _Memory:
    """The training memory: every training image at keep rate 1, without augmentation."""
    device = next(model.parameters()).device
    model.eval()
    cls, tokens = [], []
    for rows in torch.arange(len(images.pixels)).split(64):
        pixels = images.pixels[rows].to(device).float().div(127.5).sub(1.0)
        with _autocast(settings, device):
            found = model.encode(pixels, images.cameras[rows].to(device), PruneSettings(1.0))
        cls.append(found.cls.float().cpu())
        tokens.append(found.patches.to(torch.float16).cpu())
    model.train()
    return _Memory(torch.cat(cls), torch.cat(tokens))


def _autocast(settings: TrainSettings, device: torch.device | str) -> AbstractContextManager[None]:
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=settings.bfloat16 or kind == "cuda")


def _schedule(share: float, warmup: float) -> float:
    """Linear warm-up, then a cosine down to 1 %; share: of the whole run, 0 to 1."""
    if share < warmup:
        return max(share / warmup, 0.02)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (share - warmup) / (1 - warmup)))


def _groups(model: FPC, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; vectors and embeddings do not."""
    plain = {"encoder.cls_token", "encoder.position", "encoder.camera"}
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (free if parameter.ndim < 2 or name in plain else decayed).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]


def _log(path: Path, told: Progress) -> None:
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if fresh:
            writer.writerow(["step", "stage", "loss", "learning_rate", "seconds"])
        writer.writerow([told.step, told.stage, f"{told.loss:.4f}", f"{told.learning_rate:.2e}", f"{told.seconds:.0f}"])


def _save(
    path: Path,
    model: FPC,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    settings: TrainSettings,
    step: int,
    seconds: float,
    memory: _Memory | None,
) -> None:
    """Written whole or not at all. The memory is part of the state: it was made by earlier weights."""
    content = {
        "settings": asdict(settings),
        "step": step,
        "seconds": seconds,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "generator": generator.get_state(),
        "global": torch.get_rng_state(),
        "memory": None if memory is None else {"cls": memory.cls, "tokens": memory.tokens},
    }
    partial = path.with_suffix(".tmp")
    torch.save(content, partial)
    partial.replace(path)


def _restore(
    path: Path, model: FPC, optimizer: torch.optim.Optimizer, generator: torch.Generator, settings: TrainSettings
) -> tuple[int, float, _Memory | None]:
    content = torch.load(path, weights_only=True, map_location="cpu")
    if content["settings"] != asdict(settings):
        raise ValueError(f"{path} belongs to a run with other settings; name another output folder or remove it")
    model.load_state_dict(content["model"])
    optimizer.load_state_dict(content["optimizer"])
    generator.set_state(content["generator"])
    torch.set_rng_state(content["global"])
    memory = content["memory"]
    return content["step"], content["seconds"], None if memory is None else _Memory(memory["cls"], memory["tokens"])
