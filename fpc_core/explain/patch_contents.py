"""What patches show according to ground-truth masks: person, occluder or background."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from fpc_core.config import ModelConfig
from fpc_core.data.ground_truth import OCCLUDER, OCCLUDER_BEFORE_PERSON, PERSON
from fpc_core.explain.masks import survivors
from fpc_core.results import Encoding


@dataclass(frozen=True)
class Shares:
    """Shares of the area of a set of patches by what they show; they sum to 1, or are NaN for an empty set."""

    person: float
    occluder: float
    background: float


@dataclass(frozen=True)
class DropShares:
    """What the patches of one dropping block show according to ground-truth masks.

    Attributes:
        block: Index of the block.
        entered: Number of patches that entered the block.
        dropped: Number of patches that the block dropped.
        of_entered: Shares of the patches that entered; random dropping has the same shares on average.
        of_dropped: Shares of the dropped patches.
    """

    block: int
    entered: int
    dropped: int
    of_entered: Shares
    of_dropped: Shares


def patch_areas(mask: np.ndarray, config: ModelConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return the shares of every patch that show the person and an occluder, (rows, columns) each.

    Occluded pixels of a person count as occluder. Patches overlap if the stride is smaller than the patch.

    Args:
        mask: (h, w) uint8 mask of `fpc_core.data.ground_truth`, which is resized to the model's image size.
        config: Architecture of the model.
    """
    classes = np.stack([mask == PERSON, (mask == OCCLUDER) | (mask == OCCLUDER_BEFORE_PERSON)])
    pixels = torch.from_numpy(classes.astype(np.float32)).unsqueeze(0)
    enlarged = torch.nn.functional.interpolate(pixels, config.image_size, mode="nearest-exact")
    person, occluder = torch.nn.functional.avg_pool2d(enlarged, config.patch_size, config.stride)[0].numpy()
    return person, occluder


def drop_shares(encoding: Encoding, person: np.ndarray, occluder: np.ndarray) -> tuple[DropShares, ...]:
    """Compare every dropping block with the ground truth.

    Args:
        encoding: Encoding of one image.
        person: (rows, columns) share of every patch that shows the person, from `patch_areas`.
        occluder: (rows, columns) share of every patch that shows an occluder, from `patch_areas`.
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
