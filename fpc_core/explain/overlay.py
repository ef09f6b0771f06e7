"""Overlays on an image: veils over dropped patches, heat over attended ones.

Images are uint8 (H, W, 3) of the model's input size, grids are (rows, columns). With a stride below the patch size
patches overlap; a pixel then shows the patch whose centre is nearest.
"""

from __future__ import annotations

import numpy as np
from PIL import ImageColor

from fpc_core.config import ModelConfig

VEIL = 0.82  # how white a dropped patch gets; 1 would hide what was lost
STRIPE, STRIPE_WIDTH = 10, 3  # pixels from stripe to stripe, and of each
HEAT = 0.62  # opacity of attention over the image


def grid_to_pixels(grid: np.ndarray, config: ModelConfig) -> np.ndarray:
    """Spread a (rows, columns) grid over the pixels of the input: (H, W). Raises ValueError for another grid."""
    if grid.shape != config.grid:
        raise ValueError(f"a grid of {grid.shape} does not fit the model's {config.grid} patches")
    height, width = config.image_size
    return grid[np.ix_(_nearest(height, config.grid[0], config), _nearest(width, config.grid[1], config))]


def patch_centres(config: ModelConfig) -> np.ndarray:
    """(N, 2) x and y in pixels of every patch centre, row-major."""
    rows, columns = config.grid
    y, x = np.mgrid[:rows, :columns]
    middle = (config.patch_size - 1) / 2
    return np.stack([x.ravel() * config.stride + middle, y.ravel() * config.stride + middle], axis=1)


def veil(image: np.ndarray, alive: np.ndarray, config: ModelConfig) -> np.ndarray:
    """The image with its dropped patches whitened. alive: boolean (rows, columns)."""
    return _blend(image, np.array([255.0] * 3), np.where(grid_to_pixels(alive, config), 0.0, VEIL))


def stripes(
    image: np.ndarray, alive: np.ndarray, only: np.ndarray, config: ModelConfig, colour: str, falling: bool
) -> np.ndarray:
    """The image with its dropped patches whitened and stripes over those alive here and `only` here.

    alive, only: boolean (rows, columns).  colour: hex, of stripes that alternate with white ones, so that they show on
    any image.  falling: whether they fall to the right, so that two sides differ without colour.
    """
    alone = grid_to_pixels(only, config)
    y, x = np.indices(alone.shape)
    phase = (x - y if falling else x + y) % STRIPE
    tone = np.array(ImageColor.getrgb(colour), dtype=float)
    striped = _blend(image, tone, alone & (phase < STRIPE_WIDTH))
    return veil(_blend(striped, np.array([255.0] * 3), alone & (phase == STRIPE_WIDTH)), alive, config)


def heat(image: np.ndarray, values: np.ndarray, config: ModelConfig, top: float, bottom: float = 0.0) -> np.ndarray:
    """The image under a viridis map of values from `bottom` to `top`; patches without a value (NaN) get the veil."""
    spread = grid_to_pixels(values, config)
    known = np.isfinite(spread)
    above = np.where(known, spread - bottom, 0.0)
    colours = viridis(above / (top - bottom) if top > bottom else np.zeros_like(spread))
    warmed = _blend(image, colours, np.full(spread.shape, HEAT))
    return np.where(known[..., None], warmed, _blend(image, np.array([255.0] * 3), np.full(spread.shape, VEIL)))


def mesh(image: np.ndarray, config: ModelConfig) -> np.ndarray:
    """The image with white lines between its patches."""
    index = grid_to_pixels(np.arange(config.patches).reshape(config.grid), config)
    edge = np.zeros(index.shape, bool)
    edge[1:] |= index[1:] != index[:-1]
    edge[:, 1:] |= index[:, 1:] != index[:, :-1]
    return _blend(image, np.array([255.0] * 3), np.where(edge, 0.9, 0.0))


def framed(image: np.ndarray, position: int, config: ModelConfig) -> np.ndarray:
    """The image with an orange frame around one patch."""
    inside = grid_to_pixels(np.arange(config.patches).reshape(config.grid), config) == position
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    core = np.zeros_like(inside)
    core[rows[0] + 3 : rows[-1] - 2, columns[0] + 3 : columns[-1] - 2] = True
    return _blend(image, np.array([255.0, 176.0, 0.0]), np.where(inside & ~core, 1.0, 0.0))


def viridis(values: np.ndarray) -> np.ndarray:
    """RGB (..., 3) in 0..255 of values in [0, 1], clipped."""
    import matplotlib  # its colour maps take a quarter of a second: not before heat is drawn

    return matplotlib.colormaps["viridis"](np.clip(values, 0.0, 1.0), bytes=True)[..., :3].astype(float)


def _nearest(pixels: int, patches: int, config: ModelConfig) -> np.ndarray:
    centres = np.arange(patches) * config.stride + (config.patch_size - 1) / 2
    return np.abs(np.arange(pixels)[:, None] - centres[None, :]).argmin(axis=1)


def _blend(image: np.ndarray, colour: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    weight = opacity[..., None]
    return np.rint(image * (1.0 - weight) + colour * weight).astype(np.uint8)
