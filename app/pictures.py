"""Pictures from images and patch grids: veils over dropped patches, heat over attended ones.

Images are uint8 (H, W, 3) of the model's input size, grids are (rows, columns). With a stride below the patch size
patches overlap; a pixel then shows the patch whose centre is nearest.
"""

from __future__ import annotations

import base64
import io

import numpy as np
import plotly.colors
from PIL import Image

from fpc_core.config import ModelConfig

VEIL = 0.82  # how white a dropped patch gets; 1 would hide what was lost
HEAT = 0.62  # opacity of attention over the image


def grid_to_pixels(grid: np.ndarray, config: ModelConfig) -> np.ndarray:
    """Spread a (rows, columns) grid over the pixels of the input: (H, W). Raises ValueError for another grid."""
    if grid.shape != config.grid:
        raise ValueError(f"a grid of {grid.shape} does not fit the model's {config.grid} patches")
    height, width = config.image_size
    return grid[np.ix_(_nearest(height, config.grid[0], config), _nearest(width, config.grid[1], config))]


def heat(image: np.ndarray, values: np.ndarray, config: ModelConfig, top: float) -> np.ndarray:
    """The image under a viridis map of values from 0 to `top`; patches without a value (NaN) get the veil."""
    spread = grid_to_pixels(values, config)
    known = np.isfinite(spread)
    colours = viridis(np.where(known, spread, 0.0) / top if top > 0 else np.zeros_like(spread))
    warmed = _blend(image, colours, np.full(spread.shape, HEAT))
    return np.where(known[..., None], warmed, _blend(image, np.array([255.0] * 3), np.full(spread.shape, VEIL)))


def viridis(values: np.ndarray) -> np.ndarray:
    """RGB (..., 3) in 0..255 of values in [0, 1], clipped."""
    stops = np.array([plotly.colors.hex_to_rgb(colour) for colour in plotly.colors.sequential.Viridis], dtype=float)
    at = np.clip(values, 0.0, 1.0) * (len(stops) - 1)
    return np.stack([np.interp(at, np.arange(len(stops)), stops[:, channel]) for channel in range(3)], axis=-1)


def data_uri(image: np.ndarray, *, lossless: bool = False, height: int | None = None) -> str:
    """The image as a data URI: WebP, lossless for pictures with hard cell edges; shrunk to `height` pixels if given."""
    picture = Image.fromarray(image)
    if height is not None and height < picture.height:
        picture = picture.resize((round(picture.width * height / picture.height), height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=88, lossless=lossless, method=2)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _nearest(pixels: int, patches: int, config: ModelConfig) -> np.ndarray:
    centres = np.arange(patches) * config.stride + (config.patch_size - 1) / 2
    return np.abs(np.arange(pixels)[:, None] - centres[None, :]).argmin(axis=1)


def _blend(image: np.ndarray, colour: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    weight = opacity[..., None]
    return np.rint(image * (1.0 - weight) + colour * weight).astype(np.uint8)
