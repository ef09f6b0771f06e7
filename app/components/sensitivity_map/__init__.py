"""Signed map over the query that shows the effect of an occluder at every position."""

from __future__ import annotations

import numpy as np

from app.components._shared.patch_grid import component
from fpc_core.config import ModelConfig
from fpc_core.data.browser_encoding import encode_float32
from fpc_core.evaluation.occlusion.sensitivity_map import Sliding

_mount = component("sensitivity_map")


def sensitivity_map(
    values: np.ndarray, image: str, sliding: Sliding, config: ModelConfig, name: str, *, whole: bool, key: str
) -> None:
    """Draw a sensitivity map.

    Args:
        values: (rows, columns) effects from `fpc_core.evaluation.occlusion.sensitivity_map.effects`, NaN where unknown.
        image: Data URI of the query.
        sliding: Size and step of the occluder, in patches.
        config: Configuration of the model.
        name: Name of the values.
        whole: Whether the values are whole numbers.
        key: Key of the component.
    """
    (rows, columns), (height, width) = values.shape, config.image_size
    side = config.patch_size + (sliding.size - 1) * config.stride
    grid = {  # `Geometry` of patch_geometry.js gets one cell per position of the occluder.
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
