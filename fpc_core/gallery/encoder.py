"""Encode gallery images at keep rate 1 into tokens and features (Sec. 3.2)."""

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
    """Tokens and features that a gallery memory stores for B images.

    Attributes:
        cls: (B, C) float32 `[cls]` tokens.
        patches: (B, N, C) float16 patch tokens.
        features: (B, C) float32 global features after the BNNeck.
    """

    cls: np.ndarray
    patches: np.ndarray
    features: np.ndarray

    @staticmethod
    def join(parts: Sequence[GalleryFeatures]) -> GalleryFeatures:
        """Concatenate the tokens and features of consecutive images."""
        sides = zip(*((part.cls, part.patches, part.features) for part in parts), strict=True)
        return GalleryFeatures(*map(np.concatenate, sides))


class GalleryEncoder:
    """Encodes batches on the model's device; if this runs out of memory, in smaller parts and finally on the CPU."""

    def __init__(self, model: FPC) -> None:
        self._model = model
        self._device = next(model.parameters()).device
        self._oom_fallback = OomFallback("the encoder", self._device)

    @torch.inference_mode()
    def __call__(self, images: Tensor, cameras: Tensor | None) -> GalleryFeatures:
        """Encode a batch.

        Args:
            images: (B, 3, H, W) normalised images on the CPU.
            cameras: (B,) int64 cameras on the CPU, or None for the mean camera embedding.

        Raises:
            ValueError: Tokens exceed the range of float16.
            OutOfMemoryError: The CPU runs out of memory, too.
        """

        def encode(model: FPC, device: torch.device, rows: slice) -> GalleryFeatures:
            own_cameras = None if cameras is None else cameras[rows].to(device)
            encoding = model.encode(images[rows].to(device), own_cameras, NO_PRUNING)
            patches = encoding.patches.to(torch.float16)
            if not bool(torch.isfinite(patches).all()):
                raise ValueError("tokens exceed the range of float16 (65,504); check the weights")
            features = model.global_feature(encoding.tokens)
            return GalleryFeatures(*(each.cpu().numpy() for each in (encoding.cls.float(), patches, features.float())))

        cpu = torch.device("cpu")
        return self._oom_fallback(
            len(images),
            lambda rows: encode(self._model, self._device, rows),
            GalleryFeatures.join,
            lambda: encode(self._cpu_model, cpu, slice(None)),
        )

    @cached_property
    def _cpu_model(self) -> FPC:
        return self._model.copy_on_cpu()
