"""Boxes that a visitor places on a photo, each of which is cut out as an image of one person.

cropperjs 2 is not used, although it supports several boxes: the Tab key does not reach them, screen readers cannot read
their positions, and its keys act only on the box that was clicked last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

import streamlit as st

from app.components import source
from app.components._shared.reported_values import received
from fpc_core.data.uploads.crops import CropBox, Size, largest_box

MAX_BOXES = 8  # Maximum number of boxes on a photo.
SMALLEST_BOX = 32  # Minimum height of a box in pixels of the photo, if the photo is large enough.
_mount = st.components.v2.component(
    "fpc_crop",
    html='<div data-root="" class="fpc-crop" translate="no"></div>',
    # Streamlit's dialogs keep the focus among the elements that they find. They find none inside a shadow tree.
    isolate_styles=False,
    css=source("crop/crop.css"),
    js=source("_shared/dom.js", "crop/boxes.js", "crop/crop.js"),
)


class CropAction(StrEnum):
    """What the visitor has decided to do with the photo."""

    QUERIES = "queries"
    GALLERY = "gallery"
    WHOLE = "whole"
    CANCEL = "cancel"


@dataclass(frozen=True)
class CropChoice:
    """The visitor's decision, and the boxes, which only QUERIES and GALLERY use."""

    action: CropAction
    boxes: tuple[CropBox, ...]


def crop(
    preview: str, photo: Size, target: Size, whole: str, answer: int, *, key: str, on_done: Callable[[CropChoice], None]
) -> None:
    """Draw the tool. The boxes stay in the browser until the visitor decides.

    Args:
        preview: Data URI of the upright photo, possibly shrunk.
        photo: Height and width of the photo in pixels.
        target: Height and width of the model's input in pixels, whose shape every box has.
        whole: Sentence on the effect of using the whole image.
        answer: Number that changes when the server refuses a decision, so that the visitor can decide again.
        key: Key of the component, different for each photo.
        on_done: Callback that receives the decision before the rerun.
    """

    def on_change() -> None:
        choice = received(key, "done", partial(read_choice, photo=photo, target=target))
        if choice is not None:
            on_done(choice)

    largest = largest_box(photo, target)[0]
    data = {
        "image": preview,
        "photo": {
            "width": photo[1],
            "height": photo[0],
            "ratio": target[1] / target[0],
            "smallest": min(SMALLEST_BOX, largest),
            "largest": largest,
        },
        "maxBoxes": MAX_BOXES,
        "whole": whole,
        "answer": answer,
    }
    _mount(key=key, data=data, on_done_change=on_change)


def read_choice(value: Any, photo: Size, target: Size) -> CropChoice:
    """Check a report of the tool.

    Args:
        value: Report from the browser: {action, boxes}.
        photo: Height and width of the photo in pixels.
        target: Height and width of the model's input in pixels.

    Raises:
        ValueError: The action is unknown, or there are too many or invalid boxes.
        KeyError: The action or the boxes are missing.
        TypeError: A value has another type.
    """
    action, reported = CropAction(value["action"]), value["boxes"]
    if not isinstance(reported, list) or len(reported) > MAX_BOXES:
        raise ValueError(f"a choice needs a list of at most {MAX_BOXES} boxes")
    boxes = tuple(CropBox(*map(_whole, edges)) for edges in reported)
    for box in boxes:
        box.check(photo, target)
    if action in (CropAction.QUERIES, CropAction.GALLERY) and not boxes:
        raise ValueError(f"the action {action} needs at least one box")
    return CropChoice(action, boxes)


def _whole(value: Any) -> int:
    """Return a reported number as int, because JSON does not tell 1.0 from 1. Raises ValueError for other values."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value):
        raise ValueError(f"{value!r:.40} is not a whole number")
    return int(value)
