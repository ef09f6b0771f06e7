"""The photo that a visitor is cropping: at most one, in memory, until the visitor decides or leaves."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from fpc_core.data.images import MIN_SIDE, ImageError
from fpc_core.data.uploads.crops import Size, largest_box
from fpc_core.data.uploads.sandboxed_decode import DecodedPhoto

PREVIEW_SIDE = 1280  # Maximum height and width of the preview in pixels.
_PHOTO, _REFUSAL = "pending-photo", "pending-photo-refusal"


@dataclass(frozen=True, eq=False)
class PendingPhoto:
    """An upload that is not a tight crop of one person.

    Attributes:
        name: Name of the visitor's file.
        digest: Hash of the file's bytes.
        data: Content of the file, from which boxes are cut at full resolution.
        decoded: Size and preview of the photo, and the photo at the model's input size.
        target: (height, width) of the model's input in pixels.
    """

    name: str
    digest: str
    data: bytes
    decoded: DecodedPhoto
    target: Size


@dataclass(frozen=True)
class Refusal:
    """Why the visitor's last decision was refused.

    Attributes:
        count: Number of refusals of this photo.
        reason: Reason as a sentence; empty if nothing was refused.
    """

    count: int = 0
    reason: str = ""


def keep(photo: PendingPhoto) -> None:
    """Replace the pending photo.

    Raises:
        ImageError: The photo is too small for a box.
    """
    if min(largest_box(photo.decoded.size, photo.target)) < MIN_SIDE:
        height, width = photo.decoded.size
        raise ImageError(f"{photo.name} has {width} x {height} pixels, too few to cut out a person; use a larger image")
    st.session_state[_PHOTO] = photo
    st.session_state[_REFUSAL] = Refusal()


def pending(target: Size) -> PendingPhoto | None:
    """Return the pending photo, or None if there is none for this (height, width) of the model's input in pixels."""
    photo: PendingPhoto | None = st.session_state.get(_PHOTO)
    return photo if photo is not None and photo.target == target else None


def refuse(reason: str) -> None:
    """Store why the visitor's decision was refused; the photo stays pending."""
    st.session_state[_REFUSAL] = Refusal(refusal().count + 1, reason)


def refusal() -> Refusal:
    """Return why the visitor's last decision on this photo was refused."""
    stored: Refusal = st.session_state.get(_REFUSAL, Refusal())
    return stored


def forget() -> None:
    """Delete the pending photo."""
    st.session_state.pop(_PHOTO, None)
    st.session_state.pop(_REFUSAL, None)
