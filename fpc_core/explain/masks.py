"""Patch grids from an `Encoding`: who survived each dropping block, the attention that decided it, and on what it lay.

All grids are (rows, columns) arrays of one image; token order never leaves this file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from fpc_core.config import ModelConfig, PruneSettings
from fpc_core.data.truth import OCCLUDER, OCCLUDER_BEFORE_PERSON, PERSON
from fpc_core.results import DropStage, Encoding


def to_grid(values: np.ndarray, positions: np.ndarray, grid: tuple[int, int], fill: float = np.nan) -> np.ndarray:
    """Scatter per-token values (n,) at original positions (n,) into a (rows, columns) float32 grid.

    Positions without a token get `fill`.
    """
    flat = np.full(grid[0] * grid[1], fill, dtype=np.float32)
    flat[positions] = values
    return flat.reshape(grid)


def survivors(encoding: Encoding, image: int = 0) -> tuple[np.ndarray, ...]:
    """One boolean (rows, columns) grid per dropping block: True where the patch leaves the block alive."""
    return tuple(_mask(stage, encoding.grid, image) for stage in encoding.stages)


def attention_grids(encoding: Encoding, image: int = 0) -> tuple[np.ndarray, ...]:
    """One (rows, columns) grid per dropping block: head-averaged `[cls]` attention (Eq. 2), NaN for earlier losses."""
    return tuple(
        to_grid(stage.attention[image].cpu().numpy(), stage.entered[image].cpu().numpy(), encoding.grid)
        for stage in encoding.stages
    )


@dataclass(frozen=True)
class PatchLife:
    """How one patch fared at one dropping block.

    attention: its head-averaged `[cls]` attention there.
    cutoff: the smallest attention that survived (for the paper's strategy what it had to reach).
    rank: 0-based place by attention among the `entered` patches.
    needed_keep_rate: above this keep rate the paper's strategy keeps it in this block, given the same entrants.
    """

    block: int
    attention: float
    cutoff: float
    rank: int
    entered: int
    kept: bool
    needed_keep_rate: float


def life_line(encoding: Encoding, position: int, image: int = 0) -> tuple[PatchLife, ...]:
    """The dropping blocks a patch went through, up to the one where it fell.

    position: original row-major grid position. Raises ValueError outside the grid.
    """
    rows, columns = encoding.grid
    if not 0 <= position < rows * columns:
        raise ValueError(f"patch {position} lies outside the {rows} x {columns} grid")
    lives = []
    for stage in encoding.stages:
        entered = stage.entered[image].cpu().numpy()
        attention = stage.attention[image].cpu().numpy()
        place = np.flatnonzero(entered == position)
        if not len(place):
            break
        order = np.argsort(-attention, kind="stable")
        rank = int(np.flatnonzero(order == place[0])[0])
        kept = stage.kept[image].cpu().numpy()
        alive = np.isin(entered, kept)
        lives.append(
            PatchLife(
                block=stage.block,
                attention=float(attention[place[0]]),
                cutoff=float(attention[alive].min()),
                rank=rank,
                entered=len(entered),
                kept=bool(alive[place[0]]),
                # ceil(rate * n) > rank holds for every rate above rank / n.
                needed_keep_rate=rank / len(entered),
            )
        )
    return tuple(lives)


def kept_counts(patches: int, prune: PruneSettings) -> tuple[int, ...]:
    """Patches alive after each dropping block: ceil(gamma * n), block after block (Sec. 3.1)."""
    counts = []
    for _ in prune.blocks:
        patches = math.ceil(prune.keep_rate * patches)
        counts.append(patches)
    return tuple(counts)


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

    mask: (h, w) uint8 of `fpc_core.data.truth`, enlarged to the model's image size by repeating pixels. A person's
    pixels that an occluder covers are the occluder's. Patches overlap where the stride is smaller than the patch.
    """
    classes = np.stack([mask == PERSON, (mask == OCCLUDER) | (mask == OCCLUDER_BEFORE_PERSON)])
    pixels = torch.from_numpy(classes.astype(np.float32)).unsqueeze(0)
    enlarged = torch.nn.functional.interpolate(pixels, config.image_size, mode="nearest-exact")
    person, occluder = torch.nn.functional.avg_pool2d(enlarged, config.patch_size, config.stride)[0].numpy()
    return person, occluder


def drop_shares(encoding: Encoding, person: np.ndarray, occluder: np.ndarray, image: int = 0) -> tuple[DropShares, ...]:
    """At every dropping block: person, occluder and background in the patches dropped there, and in all that entered.

    person, occluder: (rows, columns) of `patch_areas`.
    """
    shares = []
    alive = np.ones(encoding.grid, dtype=bool)
    for stage, mask in zip(encoding.stages, survivors(encoding, image), strict=True):
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


def _mask(stage: DropStage, grid: tuple[int, int], image: int) -> np.ndarray:
    flat = np.zeros(grid[0] * grid[1], dtype=bool)
    flat[stage.kept[image].cpu().numpy()] = True
    return flat.reshape(grid)
