"""What the components that show patches share: `patchgrid.js`, `patchgrid.css`, and how arrays reach the browser."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import streamlit as st

from app.components import source
from fpc_core.config import ModelConfig


def parts(name: str) -> dict[str, Any]:
    """html, css and js of NAME.css and NAME.js of this folder, with what is shared before them."""
    return {
        "html": '<div data-root="" translate="no"></div>',
        "css": source("patchgrid.css", f"{name}.css"),
        "js": source("shared.js", "store.js", "geometry.js", "patchgrid.js", f"{name}.js"),
    }


def component(name: str) -> Callable[..., Any]:
    """Register the component of these parts."""
    return st.components.v2.component(f"fpc_{name}", **parts(name))


def geometry(config: ModelConfig) -> dict[str, int]:
    """The patch grid in pixels of the model's input: what `Geometry` of geometry.js is made from."""
    (rows, columns), (height, width) = config.grid, config.image_size
    return {
        "rows": rows, "columns": columns, "stride": config.stride, "patch": config.patch_size, "width": width,
        "height": height,
    }  # fmt: skip


def packed(values: np.ndarray) -> str:
    """An array as base64 of its little-endian float32 values, row by row; `floats` of shared.js reads it.

    float32 and not float16: most flows of a plan lie below 6e-5, where float16 has lost its precision, and the browser
    has no need to convert. A plan and its cost at 128 x 242 patches are 2 x 165 kB of text.
    """
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode("ascii")
