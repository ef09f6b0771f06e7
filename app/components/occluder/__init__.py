"""Editor of the occluders on a query image. Shapes are added, moved, resized and painted in the browser.

The browser stores the scene and its undo history. It reports the scene after every change, and a few times a second
during a drag, so that the page can update.
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

MAX_VALUES = MAX_OCCLUDERS * (4 * MAX_POINTS + 20)  # More values than the largest valid scene has.
MAX_CHARACTERS = MAX_OCCLUDERS * 1000  # Maximum number of characters in all texts of a scene.
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
        size: (height, width) of the image in pixels.
        scene: Current scene.
        serial: Number of the scene. If it is higher than the browser's number, this scene replaces the browser's.
        cut_outs: Data URIs by `image_key`, for the scene's cut-outs and for `person`.
        person: Cut-out that the Person button adds.
        key: Key of the component.
        on_scene: Callback that receives {serial, dragging, occluders} before the rerun.
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
    """Check a report of the editor and return it as the event that `on_scene` receives.

    Raises:
        ValueError: A value has the wrong type. A missing value raises KeyError.
    """
    if not isinstance(value["dragging"], bool) or not isinstance(value["occluders"], list):
        raise ValueError("a scene needs a boolean `dragging` and a list `occluders`")
    return {"serial": count(value["serial"]), "dragging": value["dragging"], "occluders": value["occluders"]}


def image_key(occluder: CutOut) -> str:
    """Return the key under which the browser stores the image of a cut-out."""
    return f"{occluder.path}|{occluder.outline}"


@cache
def _tiles() -> dict[str, str]:
    return {texture.value: data_uri(tile(texture), lossless=True) for texture in Texture}
