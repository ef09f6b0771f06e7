"""The effect of an occluder at every position of the query, as a signed map over the image."""

from __future__ import annotations

import numpy as np

from app.components._shared.patch_grid import component
from fpc_core.config import ModelConfig
from fpc_core.data.browser_encoding import encode_float32
from fpc_core.evaluation.occlusion.scenarios import Sliding

_mount = component("sensitivity_map")


def sensitivity_map(
    values: np.ndarray, image: str, sliding: Sliding, config: ModelConfig, name: str, *, whole: bool, key: str
) -> None:
    """Draw a map.

    Args:
        values: (rows, columns) of `scenarios.effects`, NaN where unknown.
        image: Data URI of the query.
        sliding: Size and step of the occluder.
        config: Of the model.
        name: Of the values.
        whole: Whether the values are whole numbers.
        key: The component's key.
    """
    (rows, columns), (height, width) = values.shape, config.image_size
    side = config.patch_size + (sliding.size - 1) * config.stride
    grid = {  # one cell per position, for `Geometry` of patch_geometry.js
        "rows": rows,
        "columns": columns,
        "stride": sliding.step * config.stride,
        "patch": config.patch_size + (sliding.step - 1) * config.stride,
        "width": width,
        "height": height,
    }
    data = {
        "values": encode_float32(values),
        "picture": image,
        "grid": grid,
        "side": side,
        "name": name,
        "whole": whole,
    }
    _mount(key=key, data=data)
