"""Images that a visitor uploads: limits, decoding and storage in the session."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
import streamlit as st

from app.session.shared_view import UPLOAD_SUFFIX
from fpc_core.data.images import ImageError, content_hash
from fpc_core.data.uploads.sandboxed_decode import decode_in_subprocess

MAX_PER_MINUTE = 10  # Maximum number of new images per visitor and minute.
MAX_PER_VISIT = 200  # Maximum number of new images per visit.
MAX_STORED = 4  # Number of latest images that are stored; all of them are shown among the queries.
MAX_NAME = 60  # Maximum number of characters of a file name that are shown.
_IMAGES, _TIMES, _NAMES = "uploaded-images", "upload-times", "upload-names"

Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class UploadedImage:
    """An uploaded image.

    Attributes:
        name: Name of the visitor's file, shortened, with a number if the visit has another image of this name.
        digest: Hash of the file's bytes.
        image: (height, width, 3) uint8.
    """

    name: str
    digest: str
    image: np.ndarray

    @property
    def query(self) -> str:
        """Name of the image as a query."""
        return self.name + UPLOAD_SUFFIX


def add_upload(name: str, data: bytes, size: Size) -> UploadedImage:
    """Store an upload at the model's input size as the newest image, and return it.

    An image that is still stored is not decoded again and does not count towards the limits.

    Args:
        name: Name of the visitor's file.
        data: Content of the file.
        size: (height, width) of the model's input in pixels.

    Raises:
        ImageError: The file cannot be used, or the visitor has reached a limit.
    """
    images = _stored_images()
    key = (content_hash(data), size)
    image = images.pop(key, None)
    if image is None:
        st.session_state[_TIMES] = count_upload(st.session_state.get(_TIMES, ()), time.time(), name)
        pixels = decode_in_subprocess(data, name, size)
        image = UploadedImage(_name_in_visit(name, key[0]), key[0], pixels)
    images[key] = image  # Inserted last, because the images are ordered by time.
    for stale in list(images)[:-MAX_STORED]:
        del images[stale]
    return image


def stored_uploads(size: Size) -> list[UploadedImage]:
    """Return the stored images of this (height, width) in pixels, the newest first."""
    return [image for (_, stored_size), image in reversed(_stored_images().items()) if stored_size == size]


def remove_upload(digest: str) -> None:
    """Delete a stored image, given by the hash of its file."""
    images = _stored_images()
    for key in [key for key in images if key[0] == digest]:
        del images[key]


def was_uploaded(query: str) -> bool:
    """Return whether a query is an image of this visit, also if it is not stored any more."""
    return query.removesuffix(UPLOAD_SUFFIX) in _names()


def _stored_images() -> dict[tuple[str, Size], UploadedImage]:
    """Return the stored images by hash and size, the newest last."""
    images: dict[tuple[str, Size], UploadedImage] = st.session_state.setdefault(_IMAGES, {})
    return images


def _names() -> dict[str, str]:
    """Return the hashes of this visit's images by name."""
    names: dict[str, str] = st.session_state.setdefault(_NAMES, {})
    return names


def _name_in_visit(name: str, digest: str) -> str:
    """Return the name that the visit knows an image by; it is stored, so that links to the image stay valid."""
    names = _names()
    known = next((known for known, owner in names.items() if owner == digest), None)
    chosen = known or unique_name(name, names)
    names[chosen] = digest
    return chosen


def unique_name(name: str, taken: Collection[str]) -> str:
    """Return a file name in printable characters and of bounded length, with a number if it is taken.

    Args:
        name: Name of the visitor's file.
        taken: Names of other images.
    """
    printable = " ".join("".join(each if each.isprintable() else " " for each in name).split())
    path = PurePath(printable.replace("/", " ").replace("\\", " ").strip() or "image")
    suffix = path.suffix[:8]
    stem = path.name.removesuffix(path.suffix)[: MAX_NAME - len(suffix)]
    numbers = range(2, len(taken) + 3)
    return next(each for each in (stem + suffix, *(f"{stem} ({n}){suffix}" for n in numbers)) if each not in taken)


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
