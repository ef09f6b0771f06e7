"""Overlays on an image: dropped patches are marked, heat maps are coloured.

Images are (H, W, 3) uint8 at the model's input size, grids are (rows, columns). Where patches overlap, a pixel shows
the patch with the nearest centre.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from PIL import ImageColor

from fpc_core.colours import SIGNED_COLOURS
from fpc_core.config import ModelConfig

VEIL = 0.82  # Opacity of the white over a dropped patch; 1 would hide the patch completely.
_HATCH_PERIOD = 6  # Distance between the lines of a hatch along an axis, in pixels.
_LINE, _AMBER = np.array([35.0, 40.0, 50.0]), np.array([255.0, 176.0, 0.0])
STRIPE, STRIPE_WIDTH = 10, 3  # Period and width of the stripes in pixels.
HEAT = 0.62  # Opacity of a heat map over the image.
STRONGEST = 0.88  # Opacity of the largest value in a signed map.


def grid_to_pixels(grid: np.ndarray, config: ModelConfig) -> np.ndarray:
    """Return the value of the patch at each pixel of the model's input.

    Args:
        grid: (rows, columns) values of the patches.
        config: Architecture of the model.

    Returns:
        (H, W) values.

    Raises:
        ValueError: The grid does not have the shape of the model's patch grid.
    """
    if grid.shape != config.grid:
        raise ValueError(f"the grid must have the shape of the model's patch grid, {config.grid}, got {grid.shape}")
    height, width = config.image_size
    return grid[np.ix_(_nearest(height, config.grid[0], config), _nearest(width, config.grid[1], config))]


def patch_centres(config: ModelConfig) -> np.ndarray:
    """Return x and y of every patch centre in pixels, (N, 2), in row-major order."""
    rows, columns = config.grid
    y, x = np.mgrid[:rows, :columns]
    middle = (config.patch_size - 1) / 2
    return np.stack([x.ravel() * config.stride + middle, y.ravel() * config.stride + middle], axis=1)


class PrunedStyle(StrEnum):
    """How dropped patches are marked: pale, pale with diagonal lines, or slightly pale with an outline."""

    DIM = "dim"
    HATCH = "hatch"
    OUTLINE = "outline"


_PALE = {PrunedStyle.DIM: VEIL, PrunedStyle.HATCH: 0.62, PrunedStyle.OUTLINE: 0.35}  # Opacity of the white.


def mark_dropped(
    image: np.ndarray, alive: np.ndarray, config: ModelConfig, style: PrunedStyle = PrunedStyle.DIM
) -> np.ndarray:
    """Mark the dropped patches of an image, as dropped_patches.js does in the browser with thicker outlines.

    Args:
        image: (H, W, 3) uint8 image.
        alive: (rows, columns) bool, patches that are kept.
        config: Architecture of the model.
        style: How the patches are marked. DIM is invisible on white content, the others are not.
    """
    dropped = ~grid_to_pixels(alive, config)
    pale = _blend(image, np.array([255.0] * 3), np.where(dropped, _PALE[style], 0.0))
    if style is PrunedStyle.HATCH:
        y, x = np.indices(dropped.shape)
        return _blend(pale, _LINE, np.where(dropped & ((x + y) % _HATCH_PERIOD == 0), 0.85, 0.0))
    if style is PrunedStyle.OUTLINE:
        beyond = np.pad(dropped, 1)
        inner = dropped & ~(beyond[:-2, 1:-1] & beyond[2:, 1:-1] & beyond[1:-1, :-2] & beyond[1:-1, 2:])
        outer = ~dropped & (beyond[:-2, 1:-1] | beyond[2:, 1:-1] | beyond[1:-1, :-2] | beyond[1:-1, 2:])
        return _blend(_blend(pale, _LINE, np.where(outer, 0.85, 0.0)), _AMBER, np.where(inner, 1.0, 0.0))
    return pale


def stripes(
    image: np.ndarray,
    alive: np.ndarray,
    only: np.ndarray,
    config: ModelConfig,
    colour: str,
    falling: bool,
    style: PrunedStyle = PrunedStyle.DIM,
) -> np.ndarray:
    """Mark the dropped patches, and draw stripes over patches that are kept on this side of a comparison only.

    Args:
        image: (H, W, 3) uint8 image.
        alive: (rows, columns) bool, patches that are kept.
        only: (rows, columns) bool, patches that are kept here and dropped on the other side.
        config: Architecture of the model.
        colour: Hex colour of the stripes; white lines next to them make them visible on any image.
        falling: Whether the stripes fall to the right, so that the two sides differ in more than colour.
        style: How dropped patches are marked.
    """
    alone = grid_to_pixels(only, config)
    y, x = np.indices(alone.shape)
    phase = (x - y if falling else x + y) % STRIPE
    tone = np.array(ImageColor.getrgb(colour), dtype=float)
    striped = _blend(image, tone, alone & (phase < STRIPE_WIDTH))
    return mark_dropped(_blend(striped, np.array([255.0] * 3), alone & (phase == STRIPE_WIDTH)), alive, config, style)


def heat(image: np.ndarray, values: np.ndarray, config: ModelConfig, top: float, bottom: float = 0.0) -> np.ndarray:
    """Draw a viridis heat map over the image; patches without a value (NaN) are whitened.

    Args:
        image: (H, W, 3) uint8 image.
        values: (rows, columns) values of the patches.
        config: Architecture of the model.
        top: Value of the last colour.
        bottom: Value of the first colour.
    """
    spread = grid_to_pixels(values, config)
    known = np.isfinite(spread)
    above = np.where(known, spread - bottom, 0.0)
    colours = viridis(above / (top - bottom) if top > bottom else np.zeros_like(spread))
    coloured = _blend(image, colours, np.full(spread.shape, HEAT))
    return np.where(known[..., None], coloured, _blend(image, np.array([255.0] * 3), np.full(spread.shape, VEIL)))


def signed_heat(image: np.ndarray, values: np.ndarray, config: ModelConfig, top: float) -> np.ndarray:
    """Draw a map with one colour for negative and one for positive values; patches with 0 or NaN have no colour.

    Args:
        image: (H, W, 3) uint8 image.
        values: (rows, columns) values of the patches.
        config: Architecture of the model.
        top: Absolute value with the strongest colour.
    """
    spread = np.nan_to_num(grid_to_pixels(values, config))
    negative, positive = (np.array(ImageColor.getrgb(colour), dtype=float) for colour in SIGNED_COLOURS)
    colours = np.where(spread[..., None] < 0, negative, positive)
    return _blend(image, colours, STRONGEST * np.abs(spread) / top if top > 0 else np.zeros(spread.shape))


def mesh(image: np.ndarray, config: ModelConfig) -> np.ndarray:
    """Draw white lines between the patches of an image.

    Args:
        image: (H, W, 3) uint8 image.
        config: Architecture of the model.
    """
    index = grid_to_pixels(np.arange(config.patches).reshape(config.grid), config)
    edge = np.zeros(index.shape, bool)
    edge[1:] |= index[1:] != index[:-1]
    edge[:, 1:] |= index[:, 1:] != index[:, :-1]
    return _blend(image, np.array([255.0] * 3), np.where(edge, 0.9, 0.0))


def framed(image: np.ndarray, position: int, config: ModelConfig) -> np.ndarray:
    """Draw an orange frame around one patch.

    Args:
        image: (H, W, 3) uint8 image.
        position: Row-major grid position of the patch.
        config: Architecture of the model.
    """
    inside = grid_to_pixels(np.arange(config.patches).reshape(config.grid), config) == position
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    core = np.zeros_like(inside)
    core[rows[0] + 3 : rows[-1] - 2, columns[0] + 3 : columns[-1] - 2] = True
    return _blend(image, _AMBER, np.where(inside & ~core, 1.0, 0.0))


def viridis(values: np.ndarray) -> np.ndarray:
    """Map values, clipped to [0, 1], to RGB colours (..., 3) in 0..255."""
    import matplotlib  # The import takes 0.25 s, so it is deferred until a heat map is drawn.

    return matplotlib.colormaps["viridis"](np.clip(values, 0.0, 1.0), bytes=True)[..., :3].astype(float)


def _nearest(pixels: int, patches: int, config: ModelConfig) -> np.ndarray:
    centres = np.arange(patches) * config.stride + (config.patch_size - 1) / 2
    return np.abs(np.arange(pixels)[:, None] - centres[None, :]).argmin(axis=1)


def _blend(image: np.ndarray, colour: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    weight = opacity[..., None]
    return np.rint(image * (1.0 - weight) + colour * weight).astype(np.uint8)
