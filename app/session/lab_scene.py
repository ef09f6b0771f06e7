"""The scene that a visitor edits in the Lab, from the editor, a recipe or a link."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import streamlit as st

from app.server.queues import PAGE_QUEUE
from fpc_core.data.occluders import FORMAT, Scene
from fpc_core.io import dataclass_json
from fpc_core.io.dataclass_json import RecipeError

_KEY = "lab-scene"
_PARAM = "scene"
MAX_LINK_LENGTH = 1500  # characters; mails and chats truncate longer links
MAX_LINK_READ = 8 * MAX_LINK_LENGTH  # characters; longer links are not unpacked
MAX_UNPACKED = 1 << 18  # bytes of a link's JSON, enough for 30 drawn strokes of 400 points


@dataclass(frozen=True)
class LabScene:
    """State of the editor.

    Attributes:
        scene: As last released.
        dragged_scene: As it is while something is dragged, else None.
        serial: Counts scenes from the browser and from the server; the editor takes a scene with a higher serial than
            its own.
        released: Whether the scene was released since the last run of the whole page.
    """

    scene: Scene = field(default_factory=Scene)
    dragged_scene: Scene | None = None
    serial: int = 0
    released: bool = False

    @property
    def shown(self) -> Scene:
        return self.scene if self.dragged_scene is None else self.dragged_scene


def current_scene() -> LabScene:
    return st.session_state.get(_KEY, LabScene())


def on_editor_event(event: Mapping[str, Any]) -> None:
    """Store what the editor sends: {serial, dragging, occluders}. Raises RecipeError if that is no scene."""
    scene = dataclass_json.build(Scene, {"occluders": event["occluders"]})
    current = current_scene()
    if event["dragging"]:
        st.session_state[_KEY] = replace(current, dragged_scene=scene)
    else:
        st.session_state[_KEY] = LabScene(scene, serial=int(event["serial"]), released=True)
        _write_link(scene)


def replace_scene(scene: Scene) -> None:
    """Replace the visitor's scene; undo in the editor restores it."""
    st.session_state[_KEY] = LabScene(scene, serial=current_scene().serial + 1)
    _write_link(scene)


def pop_released() -> bool:
    """Return whether the scene was released since the last call."""
    current = current_scene()
    st.session_state[_KEY] = replace(current, released=False)
    return current.released


def load_link() -> str:
    """Load the scene of the link at a first visit. Returns a message if it cannot be used, else an empty text."""
    if _KEY in st.session_state:
        _write_link(current_scene().scene)  # because another page has cleared it
        return ""
    text = st.query_params.get(_PARAM)
    st.session_state[_KEY] = LabScene()
    if text is None:
        return ""
    try:
        with PAGE_QUEUE.release_while():  # so that nobody waits while a visitor's text is read
            scene = from_link(text)
        replace_scene(scene)
    except RecipeError as error:
        return f"The link's scene cannot be used: {error}"
    return ""


def to_link(scene: Scene) -> str:
    """Return the scene as a query parameter: compressed JSON in URL-safe base64."""
    packed = zlib.compress(dataclass_json.to_json(scene, FORMAT, None).encode(), 9)
    return base64.urlsafe_b64encode(packed).decode("ascii").rstrip("=")


def from_link(text: str) -> Scene:
    """Return the scene of a link. Raises RecipeError if `to_link` did not make it."""
    if len(text) > MAX_LINK_READ:
        raise RecipeError(f"it has more than {MAX_LINK_READ:,} characters")
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(packed, MAX_UNPACKED)
        if not unpacker.eof:
            raise RecipeError("it is incomplete or too large; copy the whole link again")
        return dataclass_json.from_json(Scene, data.decode("utf-8"), FORMAT)
    except (binascii.Error, zlib.error, UnicodeError, ValueError) as error:
        if isinstance(error, RecipeError):
            raise
        raise RecipeError(f"it is damaged ({error})") from error


def _write_link(scene: Scene) -> None:
    """Write the scene to the URL. One that is too long is left out; a recipe can store it."""
    if scene.occluders and fits_link(scene):
        st.query_params[_PARAM] = to_link(scene)
    else:
        st.query_params.pop(_PARAM, None)


def fits_link(scene: Scene) -> bool:
    """Return whether the scene fits in the link, so that a reload restores it."""
    fits = len(dataclass_json.to_json(scene, FORMAT, None)) <= MAX_UNPACKED
    return fits and len(to_link(scene)) <= MAX_LINK_LENGTH
