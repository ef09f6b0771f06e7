"""Images with one value per patch, which is shown when the visitor points at a patch or focuses it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.components._shared.patch_grid import component, geometry
from fpc_core.config import ModelConfig
from fpc_core.data.browser_encoding import encode_float32
from fpc_core.lessons.step import PatchMaps, number, share

_mount = component("patch_map")


def patch_map(maps: PatchMaps, image_of: Callable[[int | None], str], config: ModelConfig, *, key: str) -> None:
    """Draw patch maps.

    Args:
        maps: Values, labels and colour range of the maps.
        image_of: Function that returns the data URI of the image in a gallery row, or of the query for None.
        config: Configuration of the model.
        key: Key of the component.
    """
    low, high = maps.range
    data: dict[str, Any] = {
        "grid": geometry(config),
        "panels": [
            {
                "name": panel.name,
                "side": "q" if panel.row is None else "g",
                "picture": image_of(panel.row),
                "layers": [{"name": name, "values": encode_float32(grid)} for name, grid in panel.layers],
                "descriptions": list(panel.descriptions),
            }
            for panel in maps.panels
        ],
        "label": maps.label,
        "range": [low, high],
        "ends": [share(each, 2) if maps.percent else number(each, 2) for each in (low, high)],
        "links": None if maps.links is None else encode_float32(maps.links),
        "kept": None if maps.kept is None else maps.kept.tolist(),
        "start": maps.start,
    }
    _mount(key=key, data=data)
