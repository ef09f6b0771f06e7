"""Scripts, styles and grid geometry of all components that show patches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from app.components import source
from app.session.display import pruned_style
from fpc_core.config import ModelConfig


def parts(name: str, *scripts: str) -> dict[str, Any]:
    """Return the HTML, CSS and JavaScript of a component. The shared files come before its own.

    Args:
        name: Name of the component and of its folder.
        scripts: Further scripts in its folder, which its main script uses.
    """
    return {
        "html": '<div data-root="" translate="no"></div>',
        "css": source("_shared/scale.css", "_shared/patch_grid.css", f"{name}/{name}.css"),
        "js": source(
            "_shared/dom.js",
            "_shared/colours.js",
            "_shared/live_store.js",
            "_shared/patch_geometry.js",
            "_shared/dropped_patches.js",
            "_shared/patch_grid.js",
            *(f"{name}/{script}.js" for script in scripts),
            f"{name}/{name}.js",
        ),
    }


def component(name: str, *scripts: str) -> Callable[..., Any]:
    """Register a component that uses the shared files, and return the function that mounts it.

    Args:
        name: Name of the component and of its folder.
        scripts: Further scripts in its folder, which its main script uses.
    """
    return st.components.v2.component(f"fpc_{name}", **parts(name, *scripts))


def geometry(config: ModelConfig) -> dict[str, int | str]:
    """Return the patch grid in pixels of the model's input, and the visitor's style of dropped patches.

    The browser makes a `Geometry` (patch_geometry.js) of the result.
    """
    (rows, columns), (height, width) = config.grid, config.image_size
    return {
        "rows": rows,
        "columns": columns,
        "stride": config.stride,
        "patch": config.patch_size,
        "width": width,
        "height": height,
        "pruned": pruned_style().value,
    }
