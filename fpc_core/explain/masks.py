"""Patch grids of an `Encoding`: survivors of each dropping block, and what the dropped patches show.

All grids are (rows, columns) arrays; of an encoding of several images, those of the first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from fpc_core.config import ModelConfig
from fpc_core.data.ground_truth import OCCLUDER, OCCLUDER_BEFORE_PERSON, PERSON
from fpc_core.results import DropStage, Encoding


def to_grid(values: np.ndarray, positions: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Scatter values per token into a (rows, columns) float32 grid; positions without a token are NaN.

    Args:
        values: (n,).
        positions: (n,) original positions.
        grid: Rows and columns.
    """
    flat = np.full(grid[0] * grid[1], np.nan, dtype=np.float32)
    flat[positions] = values
    return flat.reshape(grid)


def survivors(encoding: Encoding) -> tuple[np.ndarray, ...]:
    """Return one boolean (rows, columns) grid per dropping block: True where the patch survives it."""
    return tuple(_mask(stage, encoding.grid) for stage in encoding.stages)


@dataclass(frozen=True)
class Shares:
    """What a set of patches shows: mean area fractions that sum to 1, NaN for no patches."""

    person: float
    occluder: float
    background: float


@dataclass(frozen=True)
class DropShares:
    """One dropping block compared with the ground-truth masks.

    Attributes:
        block: Index of the block.
        entered: Patches that entered.
        dropped: Patches that were dropped.
        of_entered: What the entering patches show, which random dropping would match on average.
        of_dropped: What the dropped patches show.
    """

    block: int
    entered: int
    dropped: int
    of_entered: Shares
    of_dropped: Shares


def patch_areas(mask: np.ndarray, config: ModelConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of every patch that shows the person, and that shows an occluder: (rows, columns) each.

    Covered pixels of a person count as occluder. Patches overlap if the stride is smaller than the patch.

    Args:
        mask: (h, w) uint8 of `fpc_core.data.ground_truth`, enlarged to the model's image size by repeating pixels.
        config: The model.
    """
    classes = np.stack([mask == PERSON, (mask == OCCLUDER) | (mask == OCCLUDER_BEFORE_PERSON)])
    pixels = torch.from_numpy(classes.astype(np.float32)).unsqueeze(0)
    enlarged = torch.nn.functional.interpolate(pixels, config.image_size, mode="nearest-exact")
    person, occluder = torch.nn.functional.avg_pool2d(enlarged, config.patch_size, config.stride)[0].numpy()
    return person, occluder


def drop_shares(encoding: Encoding, person: np.ndarray, occluder: np.ndarray) -> tuple[DropShares, ...]:
    """Compare every dropping block with the ground truth.

    Args:
        encoding: Of one image.
        person: (rows, columns) of `patch_areas`.
        occluder: (rows, columns) of `patch_areas`.
    """
    shares = []
    alive = np.ones(encoding.grid, dtype=bool)
    for stage, mask in zip(encoding.stages, survivors(encoding), strict=True):
        fell = alive & ~mask
        of_entered, of_dropped = (_shares(person[patches], occluder[patches]) for patches in (alive, fell))
        shares.append(DropShares(stage.block, int(alive.sum()), int(fell.sum()), of_entered, of_dropped))
        alive = mask
    return tuple(shares)


def _shares(person: np.ndarray, occluder: np.ndarray) -> Shares:
    if not len(person):
        return Shares(math.nan, math.nan, math.nan)
    on_person, on_occluder = float(person.mean()), float(occluder.mean())
    return Shares(on_person, on_occluder, 1.0 - on_person - on_occluder)


def _mask(stage: DropStage, grid: tuple[int, int]) -> np.ndarray:
    flat = np.zeros(grid[0] * grid[1], dtype=bool)
    flat[stage.kept[0].cpu().numpy()] = True
    return flat.reshape(grid)
