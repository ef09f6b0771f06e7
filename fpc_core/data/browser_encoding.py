"""Encode images and arrays for the browser."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image


def data_uri(image: np.ndarray, *, lossless: bool = False, height: int | None = None) -> str:
    """Encode an image as a WebP data URI.

    Args:
        image: uint8 image that `PIL.Image.fromarray` accepts.
        lossless: Whether to compress without loss, for images with sharp edges.
        height: Maximum height in pixels, to which taller images are shrunk; None for no limit.
    """
    pil_image = Image.fromarray(image)
    if height is not None and height < pil_image.height:
        width = round(pil_image.width * height / pil_image.height)
        pil_image = pil_image.resize((width, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    # Lossless images use method 0, which is ten times faster than method 2 and gives files of the same size.
    pil_image.save(buffer, "WEBP", quality=88, lossless=lossless, method=0 if lossless else 2)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def encode_float32(values: np.ndarray) -> str:
    """Encode an array as base64 of its little-endian float32 values in row-major order.

    The browser can read this as a Float32Array. float16 is not precise enough, because most flows of a plan are below
    6e-5. A plan of 128 x 242 patches takes 165 kB of text, and so do its ground costs.
    """
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode("ascii")
