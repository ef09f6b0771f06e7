"""A button that starts a short tour of the page: cards that point at its parts, one after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import streamlit as st

from app.components import source

_mount = st.components.v2.component(
    "fpc_tour",
    html='<button type="button" class="start">Tour</button>'
    '<div class="ring" popover="manual"></div>'
    '<div class="step" popover="manual" role="dialog" aria-label="Tour"></div>',
    css=source("tour/tour.css"),
    js=source("_shared/dom.js", "tour/tour.js"),
)


@dataclass(frozen=True)
class TourStep:
    """A step of the tour.

    Attributes:
        title: Title of the card.
        text: Text of the card.
        selector: CSS selector of the part of the page that the card points at.
    """

    title: str
    text: str
    selector: str


def tour(steps: Sequence[TourStep], *, key: str = "tour") -> None:
    """Draw the button. Visitors can leave the tour at every step, also with the Escape key.

    Args:
        steps: Steps of the tour in order.
        key: Key of the component.
    """
    _mount(key=key, data={"steps": [asdict(step) for step in steps]})
