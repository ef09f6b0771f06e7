"""The choice between the gallery of the dataset and the visitor's own, and the workspace that searches it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.server.search import run_in_model_queue
from app.session import link_checks, own_gallery
from app.session.own_gallery import OWN, PARAM
from app.session.uploads import UploadedImage
from fpc_core.data.images import content_hash
from fpc_core.runtime.out_of_memory import OutOfMemoryError
from fpc_core.workspace import PersonalWorkspace, Workspace, encode_images, with_gallery

DATASET = "dataset"


def workspace_to_search(workspace: Workspace) -> tuple[Workspace, tuple[str, ...]]:
    """Return the workspace that searches the gallery in the URL, and messages about a link that cannot be followed.

    Args:
        workspace: Workspace of the dataset.
    """
    if PARAM not in st.query_params:
        return workspace, ()
    if not own_gallery.is_searched():
        return workspace, link_checks.check_choice(PARAM, (OWN,))
    images = own_gallery.gallery_images(workspace.retriever.model.config.image_size)
    if images:
        try:
            return _own_workspace(workspace, images), ()
        except (ValueError, OutOfMemoryError) as error:  # Damaged weights give tokens beyond the range of float16.
            own_gallery.search_own(False)
            return workspace, (f"Your gallery cannot be encoded: {error}. Searching {workspace.dataset.name}.",)
    own_gallery.search_own(False)
    if own_gallery.has_images():
        return workspace, (
            "Your gallery was made for weights with another input size. Add the images again to search it. "
            f"Searching {workspace.dataset.name}.",
        )
    return workspace, (
        "This link searches a visitor's own gallery, which isn't stored on the server. "
        f"Searching {workspace.dataset.name}.",
    )


def _own_workspace(workspace: Workspace, images: Sequence[UploadedImage]) -> PersonalWorkspace:
    """Return the workspace that searches these images, encoding those that are new.

    Args:
        workspace: Workspace of the dataset.
        images: Images of the own gallery.
    """
    digests = [content_hash(image.image.tobytes()) for image in images]
    key = (workspace.key, tuple(zip(digests, (image.name for image in images), strict=True)))
    stored = own_gallery.stored_workspace(key)
    if stored is not None:
        return stored
    weights, features = workspace.weights_fingerprint, own_gallery.features()
    own_gallery.forget_features_of_other_weights(weights)
    new = {digest: image for digest, image in zip(digests, images, strict=True) if (weights, digest) not in features}
    if new:
        with st.spinner("Encoding your gallery …"):
            encoded = run_in_model_queue(lambda: encode_images(workspace, [image.image for image in new.values()]))
        features.update({(weights, digest): part for digest, part in zip(new, encoded, strict=True)})
    own = with_gallery(
        workspace,
        [image.name for image in images],
        [image.image for image in images],
        [features[weights, digest] for digest in digests],
    )
    own_gallery.store_workspace(key, own)
    return own


def render_gallery_choice(workspace: Workspace) -> None:
    """If the visitor's own gallery has images, render the choice of the gallery and buttons that remove images.

    Args:
        workspace: Workspace that is searched.
    """
    size = workspace.retriever.model.config.image_size
    names = [image.name for image in own_gallery.gallery_images(size)]
    if not names:
        return
    key = "searched-gallery"
    st.session_state[key] = OWN if own_gallery.is_searched() else DATASET
    labels = {DATASET: "dataset", OWN: f"yours ({len(names)})"}

    def changed() -> None:
        own_gallery.search_own(st.session_state[key] == OWN)

    with st.container(horizontal=True, vertical_alignment="bottom", key="own-gallery"):
        st.pills(
            "Gallery",
            list(labels),
            format_func=labels.__getitem__,
            required=True,
            key=key,
            on_change=changed,
            help="Images that you add stay in memory until you reload or close the page. If K covers the whole "
            "gallery, the final ranking mixes all of its images. Try a smaller K.",
        )
        with st.popover("Edit", type="tertiary"):
            _render_removal(names, size)


def _render_removal(names: Sequence[str], size: tuple[int, int]) -> None:
    """Render buttons that remove one image, or all, from the own gallery.

    Args:
        names: Names of the images.
        size: (height, width) of the model's input in pixels.
    """
    chosen = st.selectbox("Image of your gallery", names, key="own-gallery-image")
    with st.container(horizontal=True):
        st.button("Remove image", key="remove-own", on_click=own_gallery.remove_image, args=(chosen, size))
        st.button("Remove all", key="clear-own", on_click=own_gallery.clear)
