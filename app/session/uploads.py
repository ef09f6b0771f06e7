"""Images that a visitor uploads: limits, decoding and storage in the session."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from fpc_core.data.images import ImageError, content_hash
from fpc_core.data.sandboxed_decode import decode_in_subprocess

MAX_PER_MINUTE = 10  # Maximum number of new images per visitor and minute.
MAX_PER_VISIT = 200  # Maximum number of new images per visit.
MAX_STORED = 4  # Number of latest images that are stored, so that they are not decoded again.
_IMAGES, _TIMES, _LAST = "uploaded-images", "upload-times", "last-upload"


@dataclass(frozen=True, eq=False)
class UploadedImage:
    """An uploaded image.

    Attributes:
        name: Name of the visitor's file.
        digest: Hash of the file's bytes.
        image: (height, width, 3) uint8.
    """

    name: str
    digest: str
    image: np.ndarray


def uploaded_image(name: str, data: bytes, size: tuple[int, int]) -> UploadedImage:
    """Return an upload at the model's input size, and make it the `last_upload`.

    An image that is still stored is not decoded again and does not count towards the limits.

    Args:
        name: Name of the visitor's file.
        data: Content of the file.
        size: (height, width) of the model's input in pixels.

    Raises:
        ImageError: The file cannot be used, or the visitor has reached a limit.
    """
    images = _stored_images()
    key = (content_hash(data), name, size)
    image = images.pop(key, None)
    if image is None:
        st.session_state[_TIMES] = count_upload(st.session_state.get(_TIMES, ()), time.time(), name)
        try:
            image = decode_in_subprocess(data, name, size)
        except ImageError as error:
            image = str(error)
    images[key] = image  # Inserted last, because the images are ordered by use.
    for stale in list(images)[:-MAX_STORED]:
        del images[stale]
    if isinstance(image, str):
        raise ImageError(image)
    st.session_state[_LAST] = key
    return UploadedImage(name, key[0], image)


def last_upload(size: tuple[int, int]) -> UploadedImage | None:
    """Return the latest upload of any page, or None. Pages need it because their own uploaders start empty."""
    key: tuple[str, str, tuple[int, int]] | None = st.session_state.get(_LAST)
    if key is None or key[2] != size:
        return None
    image = _stored_images().get(key)
    return UploadedImage(key[1], key[0], image) if isinstance(image, np.ndarray) else None


def forget_last_upload() -> None:
    """Unset the `last_upload` after the visitor has removed the image."""
    st.session_state.pop(_LAST, None)


def _stored_images() -> dict[tuple[str, str, tuple[int, int]], np.ndarray | str]:
    """Return the stored images, the latest last, with an error message in place of an image that cannot be used."""
    images: dict[tuple[str, str, tuple[int, int]], np.ndarray | str] = st.session_state.setdefault(_IMAGES, {})
    return images


def count_upload(times: Sequence[float], now: float, name: str) -> tuple[float, ...]:
    """Return the times of a visitor's uploads in seconds, including this one.

    Raises:
        ImageError: A limit is exceeded.
    """
    if len(times) >= MAX_PER_VISIT:
        raise ImageError(
            f"{name} was not added: the limit is {MAX_PER_VISIT} images per visit. Reload the page to continue."
        )
    if sum(now - each < 60 for each in times) >= MAX_PER_MINUTE:
        raise ImageError(
            f"{name} was not added: the limit is {MAX_PER_MINUTE} uploads per minute. Try again in a minute."
        )
    return (*times, now)
