"""The losses of the two stages, and the training memory that the second looks its neighbours up in.

With several processes each encodes its share of the batch; the features before the BNNecks are then gathered, so that
BNNeck, classifier and triplet mining see the whole batch. A step is thus the same, up to rounding and stochastic depth,
on one process or on many.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fpc_core.config import DropStrategy, PruneSettings, Variant
from fpc_core.data.images import normalise
from fpc_core.model.decoder import cls_row
from fpc_core.model.fpc import FPC, decoder_input
from fpc_core.runtime.distributed import gather, gather_with_gradient, local_shard, world_size
from fpc_core.training.batches import TrainingImages, choose_neighbors
from fpc_core.training.losses import at_least_float32, guidance, identity_and_triplet
from fpc_core.training.settings import TrainSettings

_CHUNK = 64  # images of one process at a time while the memory is encoded


@dataclass(frozen=True, eq=False)
class TrainingMemory:
    """Every training image at keep rate 1. cls: (n, C) float32; tokens: (n, N, C) float16; both on the CPU.

    For the 12,936 images of Market-1501: 0.6 GB with ViT-Tiny, 2.5 GB with ViT-B at stride 16, 4.8 GB at stride 11.
    """

    cls: Tensor
    tokens: Tensor


class StageLoss(nn.Module):
    """The loss of one step: what DistributedDataParallel wraps, for it acts on `forward` alone."""

    def __init__(self, model: FPC, settings: TrainSettings, images: TrainingImages) -> None:
        super().__init__()
        self.model = model
        self._settings = settings
        self._images = images

    def forward(
        self, pixels: Tensor, rows: Tensor, step: int, memory: TrainingMemory | None, person: Tensor | None = None
    ) -> Tensor:
        """pixels: (B / world, 3, H, W) of this process's share of `rows` (B,). memory: None in the holistic stage.

        person: (B / world, 1, H, W), 1 where the person is seen; needed for `guide`.
        """
        cameras = self._images.cameras[local_shard(rows)].to(pixels.device)
        labels = self._images.labels[rows].to(pixels.device)
        if memory is None:
            return self._holistic(pixels, cameras, labels, step)
        return self._consolidating(pixels, cameras, labels, local_shard(rows), step, memory, person)

    def _holistic(self, pixels: Tensor, cameras: Tensor, labels: Tensor, step: int) -> Tensor:
        """L_S (Eq. 3) of the ViT without `[cls]`-guided dropping; a random share of the patches is seen."""
        settings = self._settings
        prune = PruneSettings(settings.patch_keep, DropStrategy.RANDOM, blocks=(0,), seed=settings.seed + step)
        return self._of_encoder(self.model.encode(pixels, cameras, prune).tokens, labels)

    def _consolidating(
        self,
        pixels: Tensor,
        cameras: Tensor,
        labels: Tensor,
        rows: Tensor,
        step: int,
        memory: TrainingMemory,
        person: Tensor | None,
    ) -> Tensor:
        """L = L_S + L_C (Eq. 15): the pruned query, and its consolidation with neighbours of the training memory.

        Steps alternate between the decoder inputs of the paper and of the released code, so the weights serve both.
        """
        settings, model = self._settings, self.model
        encoding = model.encode(pixels, cameras, PruneSettings(settings.keep_rate, blocks=settings.blocks))
        own_cls = encoding.cls.detach().float().cpu()
        near = choose_neighbors(
            memory.cls, self._images.labels, self._images.cameras, rows, settings.neighbors, own_cls
        )
        seen = decoder_input(
            encoding.cls,
            encoding.patches,
            memory.cls[near].to(pixels.device, encoding.cls.dtype),
            memory.tokens[near].to(pixels.device, encoding.cls.dtype),
            Variant.PAPER if step % 2 else Variant.RELEASED,
        )
        consolidated = _gathered(model.decoder.norm(cls_row(model.decoder.block, seen)[0]))
        of_decoder = identity_and_triplet(
            model.rec_classifier(model.rec_bottleneck(consolidated)), consolidated, labels
        )
        loss = self._of_encoder(encoding.tokens, labels) + of_decoder
        if person is None:
            return loss
        shares = F.avg_pool2d(person.float(), model.config.patch_size, model.config.stride).flatten(1)
        return loss + settings.guide * guidance(encoding.stages, shares)

    def _of_encoder(self, tokens: Tensor, labels: Tensor) -> Tensor:
        token = _gathered(self.model.global_token(tokens))
        return identity_and_triplet(self.model.classifier(self.model.bottleneck(token)), token, labels)


@torch.no_grad()
def encode_memory(model: FPC, images: TrainingImages, settings: TrainSettings) -> TrainingMemory:
    """The training memory, without augmentation. Every process encodes its share and holds the whole."""
    device = next(model.parameters()).device
    model.eval()
    cls, tokens = [], []
    for rows in torch.arange(len(images.pixels)).split(_CHUNK * world_size()):
        filled = rows[torch.arange(-(-len(rows) // world_size()) * world_size()) % len(rows)]  # evenly shared out
        own = local_shard(filled)
        with autocast(settings, device):
            found = model.encode(
                normalise(images.pixels[own], model.config).to(device),
                images.cameras[own].to(device),
                PruneSettings(1.0, blocks=settings.blocks),
            )
        cls.append(gather(found.cls.float())[: len(rows)].cpu())
        tokens.append(gather(found.patches.to(torch.float16))[: len(rows)].cpu())
    model.train()
    return TrainingMemory(torch.cat(cls), torch.cat(tokens))


def autocast(settings: TrainSettings, device: torch.device) -> AbstractContextManager[None]:
    """Mixed precision in bfloat16: it has the range of float32, so gradients neither overflow nor vanish and no
    gradient scaler (with a state to save) is needed, as float16 would. GPUs without it train in float32."""
    if device.type == "cuda":
        return torch.autocast("cuda", torch.bfloat16, enabled=torch.cuda.is_bf16_supported(including_emulation=False))
    return torch.autocast(device.type, torch.bfloat16, enabled=settings.bfloat16)


def _gathered(features: Tensor) -> Tensor:
    return gather_with_gradient(at_least_float32(features))
