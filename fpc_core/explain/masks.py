"""Patch grids from an `Encoding`: who survived each dropping block, and the attention that decided it.

All grids are (rows, columns) arrays of one image; token order never leaves this file.
"""

from __future__ import annotations

import math

import numpy as np

from fpc_core.config import PruneSettings
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


def kept_counts(patches: int, prune: PruneSettings) -> tuple[int, ...]:
    """Patches alive after each dropping block: ceil(gamma * n), block after block (Sec. 3.1)."""
    counts = []
    for _ in prune.blocks:
        patches = math.ceil(prune.keep_rate * patches)
        counts.append(patches)
    return tuple(counts)


def drop_shares(encoding: Encoding, person: np.ndarray, occluder: np.ndarray, image: int = 0) -> list[dict[str, float]]:
    """At every dropping block: what share of the patches dropped there is person, occluder, background.

    person, occluder: (rows, columns) share of each patch's pixels that the class covers, in [0, 1].
    Returns one dict per block with keys block, dropped, person, occluder, background; shares are NaN where none fell.
    """
    shares = []
    alive = np.ones(encoding.grid, dtype=bool)
    for stage, mask in zip(encoding.stages, survivors(encoding, image), strict=True):
        fell = alive & ~mask
        count = int(fell.sum())
        on_person = float(person[fell].mean()) if count else math.nan
        on_occluder = float(occluder[fell].mean()) if count else math.nan
        shares.append(
            {
                "block": stage.block,
                "dropped": count,
                "person": on_person,
                "occluder": on_occluder,
                "background": 1.0 - on_person - on_occluder,
            }
        )
        alive = mask
    return shares


def _mask(stage: DropStage, grid: tuple[int, int], image: int) -> np.ndarray:
    flat = np.zeros(grid[0] * grid[1], dtype=bool)
    flat[stage.kept[image].cpu().numpy()] = True
    return flat.reshape(grid)
