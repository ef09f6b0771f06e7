"""Patch grids from an `Encoding`: who survived each dropping block, the attention that decided it, and on what it lay.

All grids are (rows, columns) arrays; of an encoding of several images, of the first.
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
    """Scatter per-token values (n,) at original positions (n,) into a (rows, columns) float32 grid.

    Positions without a token are NaN.
    """
    flat = np.full(grid[0] * grid[1], np.nan, dtype=np.float32)
    flat[positions] = values
    return flat.reshape(grid)


def survivors(encoding: Encoding) -> tuple[np.ndarray, ...]:
    """One boolean (rows, columns) grid per dropping block: True where the patch leaves the block alive."""
    return tuple(_mask(stage, encoding.grid) for stage in encoding.stages)


@dataclass(frozen=True)
class Shares:
    """Of what a set of patches consists: mean area fractions of its patches, together 1; NaN for no patches."""

    person: float
    occluder: float
    background: float


@dataclass(frozen=True)
class DropShares:
    """One dropping block against the true masks.

    entered, dropped: patches.  of_entered: of all that entered, which is also what dropping as many of them at random
    gives on average.  of_dropped: of those that fell.
    """

    block: int
    entered: int
    dropped: int
    of_entered: Shares
    of_dropped: Shares


def patch_areas(mask: np.ndarray, config: ModelConfig) -> tuple[np.ndarray, np.ndarray]:
    """The share of every patch's pixels that shows the person, and that shows an occluder: two (rows, columns) grids.

    mask: (h, w) uint8 of `fpc_core.data.ground_truth`, enlarged to the model's image size by repeating pixels. A
    person's pixels that an occluder covers are the occluder's. Patches overlap where the stride is smaller than the
    patch.
    """
    classes = np.stack([mask == PERSON, (mask == OCCLUDER) | (mask == OCCLUDER_BEFORE_PERSON)])
    pixels = torch.from_numpy(classes.astype(np.float32)).unsqueeze(0)
    enlarged = torch.nn.functional.interpolate(pixels, config.image_size, mode="nearest-exact")
    person, occluder = torch.nn.functional.avg_pool2d(enlarged, config.patch_size, config.stride)[0].numpy()
    return person, occluder


def drop_shares(encoding: Encoding, person: np.ndarray, occluder: np.ndarray) -> tuple[DropShares, ...]:
    """At every dropping block: person, occluder and background in the patches dropped there, and in all that entered.

    person, occluder: (rows, columns) of `patch_areas`.
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
