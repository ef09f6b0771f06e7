"""What an occluder does at every place of the query: a signed map over the picture, to be pointed at."""

from __future__ import annotations

import numpy as np

from app.components._shared.patch_grid import component
from fpc_core.config import ModelConfig
from fpc_core.data.browser_encoding import encode_float32
from fpc_core.evaluation.occlusion.scenarios import Sliding

_mount = component("sensitivity_map")


def sensitivity_map(
    values: np.ndarray, picture: str, sliding: Sliding, config: ModelConfig, name: str, *, whole: bool, key: str
) -> None:
    """Draw a map. values: (rows, columns) of `occlusion_paths.effects`, NaN where nothing is known.

    picture: data URI of the query.  name: of the values.  whole: they are whole numbers.
    """
    (rows, columns), (height, width) = values.shape, config.image_size
    side = config.patch_size + (sliding.size - 1) * config.stride
    grid = {  # its cells are the places: what `Geometry` of geometry.js is made from
        "rows": rows,
        "columns": columns,
        "stride": sliding.step * config.stride,
        "patch": config.patch_size + (sliding.step - 1) * config.stride,
        "width": width,
        "height": height,
    }
    data = {
        "values": encode_float32(values),
        "picture": picture,
        "grid": grid,
        "side": side,
        "name": name,
        "whole": whole,
    }
    _mount(key=key, data=data)
