"""Scripts, styles and grid geometry of all components that show patches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from app.components import source
from fpc_core.config import ModelConfig


def parts(name: str) -> dict[str, Any]:
    """Return the HTML, CSS and JavaScript of a component. The shared files come before its own."""
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
    """Register the component with this name, which uses the shared files, and return the function that mounts it."""
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
