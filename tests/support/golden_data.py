"""Load the outputs of the released code that are stored in tests/golden (see its README.md)."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fpc_core.config import ModelConfig

GOLDEN = Path(__file__).parents[1] / "golden"


@dataclass(frozen=True, eq=False)
class Golden:
    """Inputs and outputs of the released code.

    Attributes:
        checkpoint_path: Weights in the released format.
        expected: Expected arrays by name.
        gallery_images: (G, 3, 256, 128) normalised float32.
        query_images: (Q, 3, 256, 128) normalised float32.
        config: Configuration of the model.
    """

    checkpoint_path: Path
    expected: dict[str, np.ndarray]
    gallery_images: Tensor
    query_images: Tensor
    config: ModelConfig


@cache
def load_golden(stride: int) -> Golden:
    """Return the golden data for stride 11 or 16. It is cached, so callers must not modify it."""
    with np.load(GOLDEN / f"reference_stride{stride}_expected.npz") as arrays:
        expected = dict(arrays)
    return Golden(
        checkpoint_path=GOLDEN / f"reference_stride{stride}.pth",
        expected=expected,
        gallery_images=_enlarge(expected["gallery_images"]),
        query_images=_enlarge(expected["query_images"]),
        config=ModelConfig(width=32, heads=4, identities=40, cameras=8, stride=stride),
    )


def _enlarge(images: np.ndarray) -> Tensor:
    large = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    large = large.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    return (large / 255 - 0.5) / 0.5
