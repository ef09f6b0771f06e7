"""An encoding with known values: a 2 x 3 grid and two dropping blocks."""

import torch

from fpc_core.config import PruneSettings
from fpc_core.results import DropStage, Encoding


def stage(block, entered, attention, kept):
    return DropStage(block, torch.tensor([entered]), torch.tensor([attention]), torch.tensor([kept]))


def six_patches():
    """Return six patches, of which block 3 keeps 5, 0, 3, 4 (in this order) and block 6 keeps 0, 5, 3."""
    first = stage(3, [0, 1, 2, 3, 4, 5], [0.5, 0.1, 0.2, 0.4, 0.3, 0.6], [5, 0, 3, 4])
    second = stage(6, [5, 0, 3, 4], [0.25, 0.45, 0.2, 0.1], [0, 5, 3])
    return Encoding(torch.zeros(1, 4, 8), (first, second), (2, 3), PruneSettings(0.6, blocks=(3, 6)))
