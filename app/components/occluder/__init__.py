"""The editor of a scene on a query image: shapes are added, dragged, turned, resized and painted in the browser.

The browser keeps the scene and its history. It tells the server on release, and some times a second while something is
dragged, so that what the page computes from the scene can follow.
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

MAX_VALUES = MAX_OCCLUDERS * (4 * MAX_POINTS + 20)  # values of the largest scene there can be, and some more
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
    pictures: Mapping[str, str],
    person: CutOut,
    *,
    key: str,
    on_scene: Callable[[Mapping[str, Any]], None],
) -> None:
    """Draw the editor.

    image: data URI of the query.  size: its height and width in pixels.
    scene, serial: the scene last released, or one that a serial above the browser's own brings in its place.
    pictures: data URIs of cut-outs by `image_key`; of the scene's and of `person`, which the Person button adds.
    on_scene: called with {serial, held, occluders} before the rerun; held while something is dragged.
    """

    def sent() -> None:
        told = received(key, "scene", _scene, parts=MAX_VALUES, letters=MAX_CHARACTERS)
        if told is not None:
            on_scene(told)

    data = {
        "image": image,
        "width": size[1],
        "height": size[0],
        "occluders": to_plain(scene)["occluders"],
        "serial": serial,
        "pictures": dict(pictures),
        "person": to_plain(person),
        "shade": list(POLE_SHADE),
        "tileWidth": TILE_WIDTH,
        "tiles": _tiles(),
        "maxOccluders": MAX_OCCLUDERS,
        "maxPoints": MAX_POINTS,
    }
    _mount(key=key, data=data, on_scene_change=sent)


def _scene(value: Any) -> dict[str, Any]:
    """Return what the editor sends, by the names that `on_scene` reads. Raises for anything else."""
    if not isinstance(value["dragging"], bool) or not isinstance(value["occluders"], list):
        raise ValueError("no scene")
    return {"serial": count(value["serial"]), "dragging": value["dragging"], "occluders": value["occluders"]}


def image_key(occluder: CutOut) -> str:
    """What the browser knows a cut-out's picture by."""
    return f"{occluder.path}|{occluder.outline}"


@cache
def _tiles() -> dict[str, str]:
    return {texture.value: data_uri(tile(texture), lossless=True) for texture in Texture}
