"""The scene that a visitor works on in the Lab: what the editor sends, what a recipe or a link brings."""

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

_KEY = "lab-desk"
_PARAM = "scene"
MAX_LINK_LENGTH = 1500  # characters: longer links get cut in mails and chats
MOST_LINK = 8 * MAX_LINK_LENGTH  # characters that are unpacked at all
MOST_UNPACKED = 1 << 18  # bytes of a link's JSON: more than 30 strokes of 400 points take as they are drawn


@dataclass(frozen=True)
class LabScene:
    """scene: as it was last released.  held: as it is while something is dragged, else None.

    serial: counts what the browser released and what was put here; the editor takes a scene with a higher one than its
    own.  released: since the page last ran as a whole.
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


def on_editor_event(told: Mapping[str, Any]) -> None:
    """What the editor sends: {serial, held, occluders}. Raises RecipeError for what is no scene."""
    scene = dataclass_json.build(Scene, {"occluders": told["occluders"]})
    now = current_scene()
    if told["dragging"]:
        st.session_state[_KEY] = replace(now, dragged_scene=scene)
    else:
        st.session_state[_KEY] = LabScene(scene, serial=int(told["serial"]), released=True)
        _write_link(scene)


def replace_scene(scene: Scene) -> None:
    """Lay a scene on the desk in place of the visitor's; the editor's undo brings that one back."""
    st.session_state[_KEY] = LabScene(scene, serial=current_scene().serial + 1)
    _write_link(scene)


def pop_released() -> bool:
    """Whether the scene was released since the last call."""
    now = current_scene()
    st.session_state[_KEY] = replace(now, released=False)
    return now.released


def open_link() -> str:
    """At a first visit: the scene of the link. Returns what to tell the visitor where it cannot be used, else empty."""
    if _KEY in st.session_state:
        _write_link(current_scene().scene)  # another page has cleared it
        return ""
    text = st.query_params.get(_PARAM)
    st.session_state[_KEY] = LabScene()
    if text is None:
        return ""
    try:
        with PAGE_QUEUE.release_while():  # nobody waits while a visitor's text is read
            scene = from_link(text)
        replace_scene(scene)
    except RecipeError as error:
        return f"The link's scene cannot be used: {error}"
    return ""


def to_link(scene: Scene) -> str:
    """The scene as a query parameter: its JSON, compressed, in URL-safe base64."""
    packed = zlib.compress(dataclass_json.to_json(scene, FORMAT, None).encode(), 9)
    return base64.urlsafe_b64encode(packed).decode("ascii").rstrip("=")


def from_link(text: str) -> Scene:
    """Raises RecipeError for what `to_link` did not make."""
    if len(text) > MOST_LINK:
        raise RecipeError(f"it has more than {MOST_LINK:,} characters")
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(packed, MOST_UNPACKED)
        if not unpacker.eof:
            raise RecipeError("it is truncated or too large")
        return dataclass_json.from_json(Scene, data.decode("utf-8"), FORMAT)
    except (binascii.Error, zlib.error, UnicodeError, ValueError) as error:
        if isinstance(error, RecipeError):
            raise
        raise RecipeError(f"it is damaged ({error})") from error


def _write_link(scene: Scene) -> None:
    """A scene that is too long for a link is left out of it: a recipe keeps it."""
    if scene.occluders and in_link(scene):
        st.query_params[_PARAM] = to_link(scene)
    else:
        st.query_params.pop(_PARAM, None)


def in_link(scene: Scene) -> bool:
    """Whether a reload finds this scene again."""
    fits = len(dataclass_json.to_json(scene, FORMAT, None)) <= MOST_UNPACKED
    return fits and len(to_link(scene)) <= MAX_LINK_LENGTH
