"""Turn linear light into an image of a cheap camera, and place the imperfect box of a person detector.

The image is affected by exposure, colour, blur, noise and JPEG compression.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from places import Camera

SIZE = (256, 128)  # Height and width in pixels.


@dataclass(frozen=True)
class Window:
    """A rectangle in the image plane at distance 1 from the camera, in units of this distance."""

    left: float
    right: float
    bottom: float
    top: float

    @property
    def array(self) -> np.ndarray:
        return np.array([self.left, self.right, self.bottom, self.top])

    def tight(self, mask: np.ndarray) -> Window:
        """Return the smallest window around the True pixels of a (H, W) mask that covers this window."""
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        h, w = mask.shape
        x, y = (self.right - self.left) / w, (self.top - self.bottom) / h
        return Window(self.left + columns[0] * x, self.left + (columns[-1] + 1) * x, self.top - (rows[-1] + 1) * y, self.top - rows[0] * y)


def detector_box(tight: Window, rng: np.random.Generator) -> Window:
    """Draw the box that a person detector would give, with a margin, a shift, another scale and sometimes a part cut off."""
    height, width = tight.top - tight.bottom, tight.right - tight.left
    h = height * (1.07 + rng.normal(0, 0.035))
    w = max(width * 1.1, 0.43 * h) * (1 + rng.normal(0, 0.05))
    x = (tight.left + tight.right) / 2 + rng.normal(0, 0.035) * w
    y = (tight.bottom + tight.top) / 2 + rng.normal(0, 0.018) * h
    left, right, bottom, top = x - w / 2, x + w / 2, y - h / 2, y + h / 2
    cut = rng.random()
    if cut < 0.07:
        bottom += rng.uniform(0.06, 0.22) * h
    elif cut < 0.09:
        top -= rng.uniform(0.02, 0.06) * h
    elif cut < 0.13:
        side = rng.uniform(0.05, 0.2) * w
        left, right = (left + side, right) if rng.random() < 0.5 else (left, right - side)
    return Window(left, right, bottom, top)


def develop(light: np.ndarray, camera: Camera, rng: np.random.Generator) -> Image.Image:
    """Convert linear light (h, w, 3) to an image of 128 x 256 pixels with JPEG artefacts."""
    gain = 0.185 * camera.exposure * float(np.exp(rng.normal(0, 0.12))) / max(1e-3, float(np.exp(np.log(light.mean(2) + 0.02).mean())))
    warm = camera.warmth + rng.normal(0, 0.03)
    x = light * gain * np.array([1 + 0.45 * warm, 1.0, 1 - 0.55 * warm])
    grey = x @ np.array([0.25, 0.6, 0.15])
    x = np.maximum(grey[..., None] + (x - grey[..., None]) * camera.saturation, 0)
    sigma = camera.blur * float(np.exp(rng.normal(0, 0.25))) * camera.detail
    x = gaussian_filter(x, (sigma, sigma, 0))
    if rng.random() < 0.15:  # Motion blur of a walking person.
        x = gaussian_filter1d(x, rng.uniform(0.6, 1.6), axis=1)
    x = x + rng.normal(0, camera.noise, x.shape) * np.sqrt(x + 0.02)
    x = np.clip(x, 0, None)
    x = np.clip(x * (2.2 * x + 0.05) / (x * (2.1 * x + 0.62) + 0.13), 0, 1)  # Tone curve as of film, with a soft shoulder and a short toe.
    srgb = np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
    image = Image.fromarray((srgb * 255 + 0.5).astype(np.uint8))
    image = image.resize((SIZE[1], SIZE[0]), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(rng.integers(58, 88)))
    return Image.open(buffer).convert("RGB")
