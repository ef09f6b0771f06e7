"""What components that show patches share: script, styles and the geometry of the grid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from app.components import source
from fpc_core.config import ModelConfig


def parts(name: str) -> dict[str, Any]:
    """Return html, css and js of a component, with what is shared before its own files."""
    return {
        "html": '<div data-root="" translate="no"></div>',
        "css": source("_shared/scale.css", "_shared/patch_grid.css", f"{name}/{name}.css"),
        "js": source(
            "_shared/dom.js",
            "_shared/live_store.js",
            "_shared/patch_geometry.js",
            "_shared/patch_grid.js",
            f"{name}/{name}.js",
        ),
    }


def component(name: str) -> Callable[..., Any]:
    """Register the component of these parts."""
    return st.components.v2.component(f"fpc_{name}", **parts(name))


def geometry(config: ModelConfig) -> dict[str, int]:
    """Return the patch grid in pixels of the model's input, for `Geometry` of patch_geometry.js."""
    (rows, columns), (height, width) = config.grid, config.image_size
    return {
        "rows": rows,
        "columns": columns,
        "stride": config.stride,
        "patch": config.patch_size,
        "width": width,
        "height": height,
    }
