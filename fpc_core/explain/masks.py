"""Patch grids from an `Encoding`: who survived each dropping block, and the attention that decided it.

All grids are (rows, columns) arrays of one image; token order never leaves this file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

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
