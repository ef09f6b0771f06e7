"""Images that a visitor uploads: limits, decoding and storage in the session.

A tight crop of one person is stored at the model's input size. Any other image is a photo, which stays pending until
the visitor has cut people out of it (`pending_photo.py`).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
import streamlit as st

from app.session import pending_photo
from app.session.pending_photo import PREVIEW_SIDE, PendingPhoto
from app.session.shared_view import UPLOAD_SUFFIX
from fpc_core.data.images import ImageError, content_hash
from fpc_core.data.uploads.crops import CropBox, Size, is_tight_crop
from fpc_core.data.uploads.sandboxed_decode import crop_in_subprocess, preview_in_subprocess

MAX_PER_MINUTE = 10  # Maximum number of files that are decoded per visitor and minute; cutting out boxes counts again.
MAX_PER_VISIT = 200  # Maximum number of files that are decoded per visit.
MAX_STORED = 8  # Number of latest images that are stored; all of them are shown among the queries.
MAX_NAME = 60  # Maximum number of characters of a file name that are shown.
_IMAGES, _TIMES, _NAMES = "uploaded-images", "upload-times", "upload-names"


@dataclass(frozen=True, eq=False)
class UploadedImage:
    """An uploaded image.

    Attributes:
        name: Name of the visitor's file, shortened, with a number if another image of the visit has the same name.
        digest: Hash of the file's bytes or, for a part of a photo, of its pixels.
        image: (height, width, 3) uint8.
    """

    name: str
    digest: str
    image: np.ndarray

    @property
    def query(self) -> str:
        """Name of the image as a query."""
        return self.name + UPLOAD_SUFFIX


def add_upload(name: str, data: bytes, size: Size) -> UploadedImage | None:
    """Store an upload as the newest image and return it, or keep it as the pending photo and return None.

    An image that is still stored is not decoded again and does not count towards the limits.

    Args:
        name: Name of the visitor's file.
        data: Content of the file.
        size: (height, width) of the model's input in pixels.

    Raises:
        ImageError: The file cannot be used, or the visitor has reached a limit.
    """
    digest = content_hash(data)
    stored = _stored_images().get((digest, size))
    if stored is not None:
        return _store(stored, size)
    _count_decoded(name)
    decoded = preview_in_subprocess(data, name, size, PREVIEW_SIDE)
    if is_tight_crop(decoded.size, size):
        return _store(UploadedImage(_name_in_visit(name, digest), digest, decoded.resized), size)
    pending_photo.keep(PendingPhoto(name, digest, data, decoded, size))
    return None


def cut_out(photo: PendingPhoto, boxes: Sequence[CropBox]) -> list[UploadedImage]:
    """Cut boxes out of a photo and return them as images, without storing them. Equal boxes give one image.

    Args:
        photo: Pending photo.
        boxes: Boxes on the photo.

    Raises:
        ImageError: The photo cannot be decoded, or the visitor has reached a limit.
    """
    _count_decoded(photo.name)
    crops = crop_in_subprocess(photo.data, photo.name, boxes, photo.target)
    images: dict[str, UploadedImage] = {}
    for number, pixels in enumerate(crops, start=1):
        digest = content_hash(pixels.tobytes())
        if digest not in images:
            images[digest] = UploadedImage(_name_in_visit(f"box {number} of {photo.name}", digest), digest, pixels)
    return list(images.values())


def whole_image(photo: PendingPhoto) -> UploadedImage:
    """Return a whole photo as an image, resized to the model's input size, without storing it."""
    pixels = photo.decoded.resized
    digest = content_hash(pixels.tobytes())
    return UploadedImage(_name_in_visit(photo.name, digest), digest, pixels)


def store_uploads(images: Sequence[UploadedImage], size: Size) -> int:
    """Store images, the first one as the newest, and return the number of older images that are removed.

    Args:
        images: Images at the model's input size.
        size: (height, width) of the model's input in pixels.
    """
    before = len({*_stored_images(), *((image.digest, size) for image in images)})
    for image in reversed(images):
        _store(image, size)
    return before - len(_stored_images())


def _store(image: UploadedImage, size: Size) -> UploadedImage:
    images = _stored_images()
    images.pop((image.digest, size), None)
    images[image.digest, size] = image  # Inserted last, because the images are ordered by time.
    for stale in list(images)[:-MAX_STORED]:
        del images[stale]
    return image


def _count_decoded(name: str) -> None:
    """Count a file that is decoded. Raises ImageError if the visitor has reached a limit."""
    st.session_state[_TIMES] = count_upload(st.session_state.get(_TIMES, ()), time.time(), name)


def stored_uploads(size: Size) -> list[UploadedImage]:
    """Return the stored images of this (height, width) in pixels, the newest first."""
    return [image for (_, stored_size), image in reversed(_stored_images().items()) if stored_size == size]


def remove_upload(digest: str) -> None:
    """Delete a stored image, given by the hash of its file."""
    images = _stored_images()
    for key in [key for key in images if key[0] == digest]:
        del images[key]


def was_uploaded(query: str) -> bool:
    """Return whether a query is an image of this visit, even if it is no longer stored."""
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
    """Return the unique name of an image in this visit. It is stored, so that links to the image stay valid.

    Args:
        name: Name of the visitor's file.
        digest: Hash of the image, as in `UploadedImage.digest`.
    """
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

    Args:
        times: Times of the previous uploads.
        now: Current time in seconds.
        name: Name of the file, for the error message.

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
