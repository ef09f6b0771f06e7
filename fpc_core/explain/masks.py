"""Patch grids of an `Encoding`: the patches that each dropping block keeps or drops.

All grids are (rows, columns) arrays. For an encoding of several images, they describe the first image.
"""

from __future__ import annotations

import numpy as np

from fpc_core.results import DropStage, Encoding


def to_grid(values: np.ndarray, positions: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Scatter values per token into a (rows, columns) float32 grid; positions without a token are NaN.

    Args:
        values: (n,) values of the tokens.
        positions: (n,) original grid positions of the tokens.
        grid: Rows and columns of the grid.
    """
    flat = np.full(grid[0] * grid[1], np.nan, dtype=np.float32)
    flat[positions] = values
    return flat.reshape(grid)


def survivors(encoding: Encoding) -> tuple[np.ndarray, ...]:
    """Return one boolean (rows, columns) grid per dropping block: True where the patch survives it."""
    return tuple(_mask(stage, encoding.grid) for stage in encoding.stages)


def dropped_patches(encoding: Encoding) -> tuple[tuple[int, ...], ...]:
    """Return the grid positions that each dropping block drops, ascending, in the format of `PruneSettings.given`."""
    before = np.ones(encoding.grid, dtype=bool)
    dropped = []
    for mask in survivors(encoding):
        dropped.append(tuple(np.flatnonzero(before & ~mask).tolist()))
        before = mask
    return tuple(dropped)


def _mask(stage: DropStage, grid: tuple[int, int]) -> np.ndarray:
    flat = np.zeros(grid[0] * grid[1], dtype=bool)
    flat[stage.kept[0].cpu().numpy()] = True
    return flat.reshape(grid)
