"""What a gallery memory keeps of images: their tokens at keep rate 1 and their features (Sec. 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from fpc_core.config import PruneSettings
from fpc_core.model.fpc import FPC
from fpc_core.runtime.out_of_memory import OomFallback

NO_PRUNING = PruneSettings(keep_rate=1.0)


@dataclass(frozen=True, eq=False)
class GalleryFeatures:
    """Of B images: cls (B, C) float32, patches (B, N, C) float16, features (B, C) float32 after the BNNeck."""

    cls: np.ndarray
    patches: np.ndarray
    features: np.ndarray

    @staticmethod
    def join(parts: Sequence[GalleryFeatures]) -> GalleryFeatures:
        """Those of consecutive images as one."""
        sides = zip(*((part.cls, part.patches, part.features) for part in parts), strict=True)
        return GalleryFeatures(*map(np.concatenate, sides))


class GalleryEncoder:
    """Encodes batches where the model is; where memory runs out in smaller ones, then on the CPU, to the end."""

    def __init__(self, model: FPC) -> None:
        self._model = model
        self._device = next(model.parameters()).device
        self._portions = OomFallback("the encoder", self._device)

    @torch.inference_mode()
    def __call__(self, images: Tensor, cameras: Tensor | None) -> GalleryFeatures:
        """images: (B, 3, H, W) normalised; cameras: (B,) int64 or None; both on the CPU.

        Raises ValueError where tokens do not fit into float16, and OutOfMemoryError.
        """

        def some(model: FPC, device: torch.device, rows: slice) -> GalleryFeatures:
            own = None if cameras is None else cameras[rows].to(device)
            tokens = model.encode(images[rows].to(device), own, NO_PRUNING).tokens
            half = tokens[:, 1:].to(torch.float16)
            if not bool(torch.isfinite(half).all()):
                raise ValueError("they do not fit into float16; check the weights")
            features = model.global_feature(tokens)
            return GalleryFeatures(*(each.cpu().numpy() for each in (tokens[:, 0].float(), half, features.float())))

        cpu = torch.device("cpu")
        return self._portions(
            len(images),
            lambda rows: some(self._model, self._device, rows),
            GalleryFeatures.join,
            lambda: some(self._on_cpu, cpu, slice(None)),
        )

    @cached_property
    def _on_cpu(self) -> FPC:
        return self._model.copy_on_cpu()
