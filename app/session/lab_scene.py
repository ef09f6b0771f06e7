"""The scene of occluders that a visitor edits in the Lab. It is set by the editor, a recipe or a link."""

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
MAX_LINK_LENGTH = 1500  # Maximum number of characters written; e-mail and chat programs truncate longer links.
MAX_LINK_READ = 8 * MAX_LINK_LENGTH  # Maximum number of characters read; longer links are rejected.
MAX_UNPACKED = 1 << 18  # Maximum size of a link's JSON in bytes, enough for 30 strokes of 400 points.


@dataclass(frozen=True)
class LabScene:
    """State of the Lab's editor.

    Attributes:
        scene: Scene at the end of the last change.
        dragged_scene: Scene during a drag; None if nothing is dragged.
        serial: Number of the scene, counted by browser and server together. The editor accepts a scene from the
            server only if its serial is higher than that of its own scene.
        released: Whether the visitor has finished a change since the last call of `pop_released`.
    """

    scene: Scene = field(default_factory=Scene)
    dragged_scene: Scene | None = None
    serial: int = 0
    released: bool = False

    @property
    def shown(self) -> Scene:
        """Return the scene on screen: the one being dragged, if any, else the last finished one."""
        return self.scene if self.dragged_scene is None else self.dragged_scene


def current_scene() -> LabScene:
    """Return the state of the visitor's editor."""
    return st.session_state.get(_KEY, LabScene())


def on_editor_event(event: Mapping[str, Any]) -> None:
    """Store the scene in an event of the editor: {serial, dragging, occluders}.

    Raises:
        RecipeError: The occluders are not a valid scene.
    """
    scene = dataclass_json.build(Scene, {"occluders": event["occluders"]})
    current = current_scene()
    if event["dragging"]:
        st.session_state[_KEY] = replace(current, dragged_scene=scene)
    else:
        st.session_state[_KEY] = LabScene(scene, serial=int(event["serial"]), released=True)
        _write_link(scene)


def replace_scene(scene: Scene) -> None:
    """Replace the visitor's scene. The editor's undo restores the previous one."""
    st.session_state[_KEY] = LabScene(scene, serial=current_scene().serial + 1)
    _write_link(scene)


def pop_released() -> bool:
    """Return whether the visitor has finished a change since the last call."""
    current = current_scene()
    st.session_state[_KEY] = replace(current, released=False)
    return current.released


def load_link() -> str:
    """Load the scene of the link on the first visit; later, write the current scene to the link again.

    Returns:
        A message if the scene of the link is invalid, else an empty string.
    """
    if _KEY in st.session_state:
        _write_link(current_scene().scene)  # Other pages remove it from the URL.
        return ""
    text = st.query_params.get(_PARAM)
    st.session_state[_KEY] = LabScene()
    if text is None:
        return ""
    try:
        with PAGE_QUEUE.release_while():  # Other visitors must not wait while a long link is read.
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
    """Return the scene of a link made by `to_link`. Raises RecipeError if the link is invalid."""
    if len(text) > MAX_LINK_READ:
        raise RecipeError(f"it has {len(text):,} characters, the maximum is {MAX_LINK_READ:,}; use fewer occluders")
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
        raise RecipeError(f"it is damaged ({error}); copy the whole link again") from error


def _write_link(scene: Scene) -> None:
    """Write the scene to the URL, or remove it from the URL if it is empty or too long for a link."""
    if scene.occluders and fits_link(scene):
        st.query_params[_PARAM] = to_link(scene)
    else:
        st.query_params.pop(_PARAM, None)


def fits_link(scene: Scene) -> bool:
    """Return whether the scene is small enough for the URL, so that reloading the page restores it."""
    fits = len(dataclass_json.to_json(scene, FORMAT, None)) <= MAX_UNPACKED
    return fits and len(to_link(scene)) <= MAX_LINK_LENGTH
