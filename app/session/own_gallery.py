"""The visitor's own gallery: a few images in the memory of the session, which are deleted when the page is reloaded.

With the query parameter `gallery=own`, a page searches this gallery. Gallery rows in the same URL then refer to it.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.session.uploads import UploadedImage
from fpc_core.data.images import content_hash
from fpc_core.data.uploads.crops import Size
from fpc_core.gallery.encoder import GalleryFeatures
from fpc_core.workspace import PersonalWorkspace

MAX_IMAGES = 32  # Maximum number of images; a ViT-B needs 0.3 MB for each.
PARAM = "gallery"
OWN = "own"  # Value of the query parameter while the own gallery is searched.
_IMAGES, _FEATURES, _WORKSPACE = "own-gallery", "own-gallery-features", "own-gallery-workspace"


def gallery_images(size: Size) -> tuple[UploadedImage, ...]:
    """Return the images of this (height, width) in pixels, in the order in which they were added."""
    return tuple(image for (_, stored_size), image in _images().items() if stored_size == size)


def add_images(images: Sequence[UploadedImage], size: Size) -> str:
    """Add images that are not in the gallery yet, and return a sentence on the added and omitted images.

    Args:
        images: Images at the model's input size.
        size: (height, width) of the model's input in pixels.
    """
    stored, new = _images(), {(content_hash(image.image.tobytes()), size): image for image in images}
    known = [key for key in new if key in stored]
    others = [key for key in new if key not in stored]
    room = max(0, MAX_IMAGES - len(gallery_images(size)))
    for key in list(stored):
        if key[1] != size:  # Images at another input size are not shown, but would use memory.
            del stored[key]
            _forget_unused()
    stored.update({key: new[key] for key in others[:room]})
    parts = [f"Added {_plural(len(others[:room]))} to your gallery"]
    if known:
        parts.append(f"{_plural(len(known))} {'was' if len(known) == 1 else 'were'} already in it")
    if left_out := len(others[room:]):
        parts.append(f"{_plural(left_out)} did not fit, because the gallery can hold {MAX_IMAGES} images")
    return "; ".join(parts) + "."


def is_full(size: Size) -> bool:
    """Return whether no image of this (height, width) in pixels can be added."""
    return len(gallery_images(size)) >= MAX_IMAGES


def contains(image: UploadedImage, size: Size) -> bool:
    """Return whether the gallery has an image with the same pixels.

    Args:
        image: Image at the model's input size.
        size: (height, width) of the model's input in pixels.
    """
    return (content_hash(image.image.tobytes()), size) in _images()


def remove_image(name: str, size: Size) -> None:
    """Remove the image with this name.

    Args:
        name: Name of the image.
        size: (height, width) of the model's input in pixels.
    """
    stored = _images()
    for key in [key for key, image in stored.items() if image.name == name and key[1] == size]:
        del stored[key]
    _forget_unused()
    if is_searched():
        search_own(bool(gallery_images(size)))


def clear() -> None:
    """Remove all images."""
    _images().clear()
    _forget_unused()
    if is_searched():
        search_own(False)


def is_searched() -> bool:
    """Return whether the URL selects the own gallery."""
    return st.query_params.get(PARAM) == OWN


def search_own(own: bool) -> None:
    """Select the own gallery or that of the dataset, and reset the selected hits, which belong to the previous one."""
    for stale in ("neighbor", "rival", "pin"):
        st.query_params.pop(stale, None)
    if own:
        st.query_params[PARAM] = OWN
    else:
        st.query_params.pop(PARAM, None)


def features() -> dict[tuple[str, str], GalleryFeatures]:
    """Return the encoded images by digest of the weights and of the pixels. The caller may add images to it."""
    stored: dict[tuple[str, str], GalleryFeatures] = st.session_state.setdefault(_FEATURES, {})
    return stored


def forget_features_of_other_weights(weights: str) -> None:
    """Delete the images encoded by other weights, so that memory use does not grow with each change of the weights."""
    for key in [key for key in features() if key[0] != weights]:
        del features()[key]


def has_images() -> bool:
    """Return whether the gallery has images of any size."""
    return bool(_images())


def stored_workspace(key: object) -> PersonalWorkspace | None:
    """Return the workspace that was stored with this key, or None."""
    stored = st.session_state.get(_WORKSPACE)
    return stored[1] if stored is not None and stored[0] == key else None


def store_workspace(key: object, workspace: PersonalWorkspace) -> None:
    """Replace the stored workspace that searches the images.

    Args:
        key: Key for `stored_workspace`.
        workspace: Workspace to store.
    """
    st.session_state[_WORKSPACE] = (key, workspace)


def _forget_unused() -> None:
    """Delete the encoded images that are no longer in the gallery, and the stored workspace."""
    digests = {digest for digest, _ in _images()}
    for key in [key for key in features() if key[1] not in digests]:
        del features()[key]
    st.session_state.pop(_WORKSPACE, None)


def _images() -> dict[tuple[str, Size], UploadedImage]:
    """Return the images by hash of their pixels and by size, the newest last."""
    images: dict[tuple[str, Size], UploadedImage] = st.session_state.setdefault(_IMAGES, {})
    return images


def _plural(number: int) -> str:
    return f"{number} image" if number == 1 else f"{number} images"
