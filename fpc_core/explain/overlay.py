"""Overlays on an image: white over dropped patches, colour over attended ones.

Images are (H, W, 3) uint8 at the model's input size, grids are (rows, columns). If patches overlap, a pixel shows the
patch with the nearest centre.
"""

from __future__ import annotations

import numpy as np
from PIL import ImageColor

from fpc_core.config import ModelConfig

VEIL = 0.82  # opacity of white over a dropped patch; 1 would hide it completely
STRIPE, STRIPE_WIDTH = 10, 3  # period and width in pixels
HEAT = 0.62  # opacity of attention over the image


def grid_to_pixels(grid: np.ndarray, config: ModelConfig) -> np.ndarray:
    """Spread a (rows, columns) grid over the pixels of the input, (H, W).

    Raises:
        ValueError: The grid has another shape.
    """
    if grid.shape != config.grid:
        raise ValueError(f"a grid of {grid.shape} does not fit the model's {config.grid} patches")
    height, width = config.image_size
    return grid[np.ix_(_nearest(height, config.grid[0], config), _nearest(width, config.grid[1], config))]


def patch_centres(config: ModelConfig) -> np.ndarray:
    """Return x and y in pixels of every patch centre, (N, 2), row-major."""
    rows, columns = config.grid
    y, x = np.mgrid[:rows, :columns]
    middle = (config.patch_size - 1) / 2
    return np.stack([x.ravel() * config.stride + middle, y.ravel() * config.stride + middle], axis=1)


def veil(image: np.ndarray, alive: np.ndarray, config: ModelConfig) -> np.ndarray:
    """Whiten the dropped patches; alive: boolean (rows, columns)."""
    return _blend(image, np.array([255.0] * 3), np.where(grid_to_pixels(alive, config), 0.0, VEIL))


def stripes(
    image: np.ndarray, alive: np.ndarray, only: np.ndarray, config: ModelConfig, colour: str, falling: bool
) -> np.ndarray:
    """Whiten the dropped patches, and draw stripes over patches that are alive here only.

    Args:
        image: (H, W, 3) uint8.
        alive: (rows, columns) bool.
        only: (rows, columns) bool, patches that the other side dropped.
        config: The model.
        colour: Hex colour of the stripes, which alternate with white so that they show on any image.
        falling: Whether they fall to the right, so that two sides differ without colour.
    """
    alone = grid_to_pixels(only, config)
    y, x = np.indices(alone.shape)
    phase = (x - y if falling else x + y) % STRIPE
    tone = np.array(ImageColor.getrgb(colour), dtype=float)
    striped = _blend(image, tone, alone & (phase < STRIPE_WIDTH))
    return veil(_blend(striped, np.array([255.0] * 3), alone & (phase == STRIPE_WIDTH)), alive, config)


def heat(image: np.ndarray, values: np.ndarray, config: ModelConfig, top: float, bottom: float = 0.0) -> np.ndarray:
    """Draw a viridis map over the image; patches without a value (NaN) are whitened.

    Args:
        image: (H, W, 3) uint8.
        values: (rows, columns).
        config: The model.
        top: Value of the last colour.
        bottom: Value of the first colour.
    """
    spread = grid_to_pixels(values, config)
    known = np.isfinite(spread)
    above = np.where(known, spread - bottom, 0.0)
    colours = viridis(above / (top - bottom) if top > bottom else np.zeros_like(spread))
    coloured = _blend(image, colours, np.full(spread.shape, HEAT))
    return np.where(known[..., None], coloured, _blend(image, np.array([255.0] * 3), np.full(spread.shape, VEIL)))


def mesh(image: np.ndarray, config: ModelConfig) -> np.ndarray:
    """Draw white lines between the patches."""
    index = grid_to_pixels(np.arange(config.patches).reshape(config.grid), config)
    edge = np.zeros(index.shape, bool)
    edge[1:] |= index[1:] != index[:-1]
    edge[:, 1:] |= index[:, 1:] != index[:, :-1]
    return _blend(image, np.array([255.0] * 3), np.where(edge, 0.9, 0.0))


def framed(image: np.ndarray, position: int, config: ModelConfig) -> np.ndarray:
    """Draw an orange frame around one patch."""
    inside = grid_to_pixels(np.arange(config.patches).reshape(config.grid), config) == position
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    core = np.zeros_like(inside)
    core[rows[0] + 3 : rows[-1] - 2, columns[0] + 3 : columns[-1] - 2] = True
    return _blend(image, np.array([255.0, 176.0, 0.0]), np.where(inside & ~core, 1.0, 0.0))


def viridis(values: np.ndarray) -> np.ndarray:
    """Map values in [0, 1] to RGB (..., 3) in 0..255; values outside are clipped."""
    import matplotlib  # takes a quarter of a second, so only when heat is drawn

    return matplotlib.colormaps["viridis"](np.clip(values, 0.0, 1.0), bytes=True)[..., :3].astype(float)


def _nearest(pixels: int, patches: int, config: ModelConfig) -> np.ndarray:
    centres = np.arange(patches) * config.stride + (config.patch_size - 1) / 2
    return np.abs(np.arange(pixels)[:, None] - centres[None, :]).argmin(axis=1)


def _blend(image: np.ndarray, colour: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    weight = opacity[..., None]
    return np.rint(image * (1.0 - weight) + colour * weight).astype(np.uint8)
