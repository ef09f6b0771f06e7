"""Losses of the two stages, and the training memory, in which the second stage finds neighbours.

With several processes, each process encodes its share of the batch. The features before the BNNecks are then gathered,
so that BNNeck, classifier and triplet loss use the whole batch. A step is thus the same for any number of processes,
except for rounding and stochastic depth.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fpc_core.config import DropStrategy, PruneSettings, Variant
from fpc_core.data.images import normalise
from fpc_core.model.decoder import cls_row, decoder_input
from fpc_core.model.fpc import FPC
from fpc_core.runtime.distributed import gather, gather_with_gradient, local_shard, world_size
from fpc_core.training.batches import TrainingImages, choose_neighbors
from fpc_core.training.losses import at_least_float32, guidance, identity_and_triplet, patch_triplet, soft_triplet
from fpc_core.training.settings import TrainSettings

_OWN_LOGIT = 15.0  # Logit of an image for its own identity; softmax is then close to 1 for a clear image.
_CHUNK = 64  # Number of images that a process encodes at a time for the training memory.


@dataclass(frozen=True, eq=False)
class TrainingMemory:
    """Tokens of every training image, encoded at keep rate 1, on the CPU.

    For the 12,936 images of Market-1501 it uses 0.6 GB with ViT-Tiny, 2.5 GB with ViT-B at stride 16, and 4.8 GB with
    ViT-B at stride 11.

    Attributes:
        cls: (n, C) float32 `[cls]` tokens.
        tokens: (n, N, C) float16 patch tokens.
    """

    cls: Tensor
    tokens: Tensor


class StageLoss(nn.Module):
    """Loss of one step; it is a module because DistributedDataParallel wraps only `forward`."""

    def __init__(self, model: FPC, settings: TrainSettings, images: TrainingImages) -> None:
        super().__init__()
        self.model = model
        self._settings = settings
        self._images = images

    def forward(
        self,
        pixels: Tensor,
        rows: Tensor,
        step: int,
        memory: TrainingMemory | None,
        person: Tensor | None = None,
        whole: bool = False,
    ) -> Tensor:
        """Compute the loss of one step.

        Args:
            pixels: (B / world size, 3, H, W) images of this process's share of the batch.
            rows: (B,) rows of the images in the whole batch.
            step: 0-based number of the step.
            memory: Training memory; None in the holistic stage.
            person: (B / world size, 1, H, W) masks of the visible person; None without `guide`.
            whole: Whether the holistic stage sees all patches of this batch.
        """
        cameras = self._images.cameras[local_shard(rows)].to(pixels.device)
        labels = self._images.labels[rows].to(pixels.device)
        if memory is None:
            return self._holistic_loss(pixels, cameras, labels, step, whole)
        return self._fpc_loss(pixels, cameras, labels, local_shard(rows), step, memory, person)

    def _holistic_loss(self, pixels: Tensor, cameras: Tensor, labels: Tensor, step: int, whole: bool) -> Tensor:
        """Compute L_S (Eq. 3) of the ViT on all or a random share of the patches instead of `[cls]`-guided dropping."""
        settings = self._settings
        keep_rate = 1.0 if whole else settings.patch_keep
        prune = PruneSettings(keep_rate, DropStrategy.RANDOM, blocks=(0,), seed=settings.seed + step)
        token = _gather_features(self.model.global_token(self.model.encode(pixels, cameras, prune).tokens))
        return identity_and_triplet(self.model.classifier(self.model.bottleneck(token)), token, labels)

    def _fpc_loss(
        self,
        pixels: Tensor,
        cameras: Tensor,
        labels: Tensor,
        rows: Tensor,
        step: int,
        memory: TrainingMemory,
        person: Tensor | None,
    ) -> Tensor:
        """Compute L = L_S + L_C (Eq. 15) of pruned queries and their consolidation with neighbours from the memory.

        Steps alternate between the decoder inputs of the paper and the released code, so that the weights work with
        both variants.
        """
        settings, model = self._settings, self.model
        encoding = model.encode(pixels, cameras, PruneSettings(settings.keep_rate, blocks=settings.blocks))
        own_cls = encoding.cls.detach().float().cpu()
        neighbors = choose_neighbors(
            memory.cls, self._images.labels, self._images.cameras, rows, settings.neighbors, own_cls
        )
        decoder_tokens = decoder_input(
            encoding.cls,
            encoding.patches,
            memory.cls[neighbors].to(pixels.device, encoding.cls.dtype),
            memory.tokens[neighbors].to(pixels.device, encoding.cls.dtype),
            Variant.PAPER if step % 2 else Variant.RELEASED,
        )
        plain = _gather_features(model.global_token(encoding.tokens))
        consolidated = _gather_features(model.decoder.norm(cls_row(model.decoder.block, decoder_tokens)[0]))
        # The features of both branches that retrieval compares.
        plain_feature, feature = model.bottleneck(plain), model.rec_bottleneck(consolidated)
        classifier = model.classifier if settings.shared_space else model.rec_classifier
        loss = identity_and_triplet(model.classifier(plain_feature), plain, labels)
        loss = loss + identity_and_triplet(classifier(feature), consolidated, labels)
        if settings.shared_space:
            loss = loss + soft_triplet(torch.cat([plain_feature, feature]), labels.repeat(2))
        if settings.patch_loss:
            cls, patches = _gather_features(encoding.cls), _gather_features(encoding.patches)
            loss = loss + settings.patch_loss * patch_triplet(cls, patches, labels)
        if person is None:
            return loss
        shares = F.avg_pool2d(person.float(), model.config.patch_size, model.config.stride).flatten(1)
        return loss + settings.guide * guidance(encoding.stages, shares)


@torch.no_grad()
def encode_memory(model: FPC, images: TrainingImages, settings: TrainSettings) -> TrainingMemory:
    """Encode the training memory without augmentation; every process encodes a share and returns the whole memory.

    Args:
        model: Model that encodes the images.
        images: Training images.
        settings: Settings of the run.
    """
    device = next(model.parameters()).device
    model.eval()
    cls, tokens = [], []
    for rows in torch.arange(len(images.pixels)).split(_CHUNK * world_size()):
        # Rows are repeated until they can be split evenly.
        padded = rows[torch.arange(-(-len(rows) // world_size()) * world_size()) % len(rows)]
        own = local_shard(padded)
        with autocast(settings, device):
            encoding = model.encode(
                normalise(images.pixels[own], model.config).to(device),
                images.cameras[own].to(device),
                PruneSettings(1.0, blocks=settings.blocks),
            )
        cls.append(gather(encoding.cls.float())[: len(rows)].cpu())
        tokens.append(gather(encoding.patches.to(torch.float16))[: len(rows)].cpu())
    model.train()
    return TrainingMemory(torch.cat(cls), torch.cat(tokens))


@torch.no_grad()
def start_from_class_means(model: FPC, memory: TrainingMemory, labels: Tensor) -> None:
    """Set the weights of both classifiers to the mean feature of each identity.

    The mean is scaled such that a feature like it has the logit `_OWN_LOGIT` for its own identity.

    Args:
        model: Model whose classifiers have a row for each identity.
        memory: Training memory that the model has encoded.
        labels: (n,) classes of its images.
    """
    model.eval()
    device = model.classifier.weight.device
    feature = torch.cat(
        [
            model.global_feature(torch.cat([cls[:, None], tokens.float()], dim=1).to(device)).float()
            for cls, tokens in zip(memory.cls.split(_CHUNK), memory.tokens.split(_CHUNK), strict=True)
        ]
    )
    model.train()
    labels = labels.to(device)
    means = F.normalize(torch.zeros_like(model.classifier.weight).index_add_(0, labels, feature), dim=1)
    scale = _OWN_LOGIT / (feature * means[labels]).sum(dim=1).mean().clamp_min(1e-6)
    for classifier in (model.classifier, model.rec_classifier):
        classifier.weight.copy_(scale * means)


def autocast(settings: TrainSettings, device: torch.device) -> AbstractContextManager[None]:
    """Return a context for mixed precision in bfloat16.

    bfloat16 has the range of float32, so gradients neither overflow nor vanish, and no gradient scaler is needed as
    with float16. GPUs without bfloat16 train in float32.

    Args:
        settings: Settings of the run.
        device: Device of the model.
    """
    if device.type == "cuda":
        return torch.autocast("cuda", torch.bfloat16, enabled=torch.cuda.is_bf16_supported(including_emulation=False))
    return torch.autocast(device.type, torch.bfloat16, enabled=settings.bfloat16)


def _gather_features(features: Tensor) -> Tensor:
    return gather_with_gradient(at_least_float32(features))
