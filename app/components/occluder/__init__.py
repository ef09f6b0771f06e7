"""The editor of a scene on a query image; shapes are added, moved, resized and painted in the browser.

The browser stores the scene and its undo history. It reports a scene on release, and a few times a second during a drag
so that the page can follow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import streamlit as st

from app.components import source
from app.components._shared.reported_values import count, received
from fpc_core.data.browser_encoding import data_uri
from fpc_core.data.occluder_rendering import POLE_SHADE, TILE_WIDTH, tile
from fpc_core.data.occluders import MAX_OCCLUDERS, MAX_POINTS, CutOut, Scene, Texture
from fpc_core.io.dataclass_json import to_plain

MAX_VALUES = MAX_OCCLUDERS * (4 * MAX_POINTS + 20)  # more values than the largest scene has
MAX_CHARACTERS = MAX_OCCLUDERS * 1000
_mount = st.components.v2.component(
    "fpc_occluder",
    html='<div data-root="" translate="no"></div>',
    css=source("occluder/occluder.css"),
    js=source("_shared/dom.js", "occluder/scene.js", "occluder/shapes.js", "occluder/occluder.js"),
)


def occluder(
    image: str,
    size: tuple[int, int],
    scene: Scene,
    serial: int,
    cut_outs: Mapping[str, str],
    person: CutOut,
    *,
    key: str,
    on_scene: Callable[[Mapping[str, Any]], None],
) -> None:
    """Draw the editor.

    Args:
        image: Data URI of the query.
        size: Height and width of the image in pixels.
        scene: Last released, or a replacement.
        serial: Of the scene; one above the browser's own replaces the scene there.
        cut_outs: Data URIs by `image_key`, of the scene's cut-outs and of `person`.
        person: Cut-out that the Person button adds.
        key: The component's key.
        on_scene: Called with {serial, dragging, occluders} before the rerun.
    """

    def on_change() -> None:
        event = received(key, "scene", _scene, max_values=MAX_VALUES, max_characters=MAX_CHARACTERS)
        if event is not None:
            on_scene(event)

    data = {
        "image": image,
        "width": size[1],
        "height": size[0],
        "occluders": to_plain(scene)["occluders"],
        "serial": serial,
        "pictures": dict(cut_outs),
        "person": to_plain(person),
        "shade": list(POLE_SHADE),
        "tileWidth": TILE_WIDTH,
        "tiles": _tiles(),
        "maxOccluders": MAX_OCCLUDERS,
        "maxPoints": MAX_POINTS,
    }
    _mount(key=key, data=data, on_scene_change=on_change)


def _scene(value: Any) -> dict[str, Any]:
    """Return a report of the editor by the names that `on_scene` reads. Raises for anything else."""
    if not isinstance(value["dragging"], bool) or not isinstance(value["occluders"], list):
        raise ValueError("a scene needs a boolean `dragging` and a list `occluders`")
    return {"serial": count(value["serial"]), "dragging": value["dragging"], "occluders": value["occluders"]}


def image_key(occluder: CutOut) -> str:
    """Return the key of a cut-out's image in the browser."""
    return f"{occluder.path}|{occluder.outline}"


@cache
def _tiles() -> dict[str, str]:
    return {texture.value: data_uri(tile(texture), lossless=True) for texture in Texture}
