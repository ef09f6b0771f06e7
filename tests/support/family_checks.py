"""Loads tiny checkpoints of other families and compares them with the public code of the family."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fpc_core.config import PruneSettings
from fpc_core.model.checkpoint import load_checkpoint
from fpc_core.model.fpc import FPC
from fpc_core.model.load_report import LoadReport
from tests.support.family_weights import HEADS

GOLDEN = Path(__file__).parents[1] / "golden" / "families"
SIZE = (64, 32)
ALL = PruneSettings(1.0, blocks=(1,))


def load(content: object, folder: Path, size: tuple[int, int] = SIZE, stride: int = 16) -> tuple[FPC, LoadReport]:
    torch.save(content, folder / "weights.pth")
    return load_checkpoint(folder / "weights.pth", image_size=size, stride=stride, heads=HEADS)


def expected_values(name: str) -> tuple[Tensor, Tensor]:
    """Stored outputs of the public code: all tokens after all blocks but the last, and the final `[cls]` token."""
    with np.load(GOLDEN / f"{name}.npz") as expected:
        return torch.from_numpy(expected["tokens"]), torch.from_numpy(expected["cls"])


def assert_parity(model: FPC, images: Tensor, tokens: Tensor, cls: Tensor, cameras: Tensor | None = None) -> None:
    """The encoder has these tokens, and the head has this `[cls]` token, within 1e-4."""
    with torch.inference_mode():
        encoding = model.encode(images, cameras, ALL)
        torch.testing.assert_close(encoding.tokens, tokens, atol=1e-4, rtol=0)
        torch.testing.assert_close(model.global_token(encoding.tokens), cls, atol=1e-4, rtol=0)
    assert encoding.patches.shape[1] == model.config.patches


def with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: each for name, each in tensors.items()}
