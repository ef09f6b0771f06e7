"""The dialog in which a visitor crops people from a photo, and the code that applies the visitor's decision."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st

from app.components.crop import CropAction, CropChoice, crop
from app.messages import escape_markdown, show_warning, toast_in_next_run
from app.server.queues import PAGE_QUEUE
from app.session import own_gallery, pending_photo
from app.session.pending_photo import PendingPhoto
from app.session.uploads import cut_out, store_uploads, whole_image
from fpc_core.data.browser_encoding import data_uri
from fpc_core.data.images import ImageError
from fpc_core.data.uploads.crops import MAX_RELATIVE_HEIGHT, MIN_RELATIVE_HEIGHT, Size


def crop_pending_photo(target: Size, choose: Callable[[str], None], searches_own: bool) -> None:
    """Open the dialog if a photo is pending, also in later runs of the page, until the visitor has decided.

    Args:
        target: (height, width) of the model's input in pixels.
        choose: Callback that selects a query by its name.
        searches_own: Whether the page can search the visitor's own gallery. If so, adding images selects that gallery.
    """
    if pending_photo.pending(target) is not None:
        _dialog(target, choose, searches_own)


@st.dialog("Who is in your photo?", width="large", on_dismiss=pending_photo.forget)
def _dialog(target: Size, choose: Callable[[str], None], searches_own: bool) -> None:
    photo = pending_photo.pending(target)
    if photo is None:  # The visitor has decided. The whole page reruns without the dialog.
        st.rerun()
        return
    height, width = photo.decoded.size
    st.markdown(
        f"{escape_markdown(photo.name, 60)} has {width:,} × {height:,} pixels. The model compares images of one "
        "person: put a box around each person."
    )
    if pending_photo.refusal().reason:
        show_warning(pending_photo.refusal().reason)
    crop(
        data_uri(photo.decoded.preview),
        photo.decoded.size,
        target,
        whole_image_note(photo.decoded.size, target),
        pending_photo.refusal().count,
        key=f"crop-{photo.digest}",
        on_done=partial(on_choice, photo, choose, searches_own),
    )


def whole_image_note(photo: Size, target: Size) -> str:
    """Return a sentence on how a whole image would be resized and distorted.

    Args:
        photo: Height and width of the image in pixels.
        target: Height and width of the model's input in pixels.
    """
    resized = f"The whole image would be resized from {photo[1]} × {photo[0]} to {target[1]} × {target[0]} pixels"
    change = (photo[1] / photo[0]) / (target[1] / target[0])
    if MIN_RELATIVE_HEIGHT <= 1 / change <= MAX_RELATIVE_HEIGHT:
        return f"{resized}, with little distortion."
    return f"{resized}, which makes people {max(change, 1 / change):.1f} times {'thinner' if change > 1 else 'wider'}."


def on_choice(photo: PendingPhoto, choose: Callable[[str], None], searches_own: bool, choice: CropChoice) -> None:
    """Carry out the visitor's decision. A decision that arrives twice is ignored.

    Args:
        photo: Photo on which the visitor has decided.
        choose: Callback that selects a query by its name.
        searches_own: Whether the page can search the visitor's own gallery.
        choice: Decision and boxes.
    """
    if pending_photo.pending(photo.target) is not photo:
        return
    try:
        with PAGE_QUEUE.release_while():
            if choice.action is CropAction.WHOLE:
                images = [whole_image(photo)]
            elif choice.action is CropAction.CANCEL:
                images = []
            else:
                images = cut_out(photo, choice.boxes)
    except ImageError as error:
        pending_photo.refuse(f"{str(error).removesuffix('.')}.")
        return
    if choice.action is CropAction.GALLERY and own_gallery.is_full(photo.target):
        pending_photo.refuse(f"Your gallery is full: it holds {own_gallery.MAX_IMAGES} images. Remove some first.")
        return
    pending_photo.forget()
    if choice.action is CropAction.GALLERY:
        toast_in_next_run(own_gallery.add_images(images, photo.target))
        if searches_own:
            own_gallery.search_own(True)
    elif images:
        if removed := store_uploads(images, photo.target):
            oldest = "The oldest of your images was" if removed == 1 else f"The oldest {removed} of your images were"
            toast_in_next_run(f"{oldest} removed from the queries.")
        choose(images[0].query)
