"""Strips of image cards that can be clicked, also by keyboard.

Texts and images are sent as data and set as text content or image source, never as markup.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import streamlit as st

from app.components import source
from app.components._shared.reported_values import one_of, received
from fpc_core.explain.cards import Strip

_mount = st.components.v2.component(
    "fpc_cards",
    html='<div class="strips"></div>',
    css=source("_shared/cards.css"),
    js=source("_shared/dom.js", "_shared/card.js", "cards/cards.js"),
)


def cards(
    strips: Sequence[Strip],
    images: Mapping[str, str],
    *,
    key: str,
    on_pick: Callable[[str], None] | None = None,
    width: str = "96px",
) -> None:
    """Draw strips of cards below each other.

    Args:
        strips: Strips from top to bottom.
        images: Data URIs by `Card.image`.
        key: Key of the component.
        on_pick: Callback that receives the id of a clicked card before the rerun. Without it, cards are not buttons.
        width: Width of a card, as a CSS length.
    """

    def on_change() -> None:
        choice = received(key, "picked", one_of({card.id for strip in strips for card in strip.cards}))
        if on_pick is not None and choice is not None:
            on_pick(choice)

    data: dict[str, Any] = {
        "strips": [plain_strip(strip) for strip in strips],
        "pictures": dict(images),
        "width": width,
        "clickable": on_pick is not None,
    }
    _mount(key=key, data=data, on_picked_change=on_change)


def plain_strip(strip: Strip) -> dict[str, Any]:
    """Return the data of a strip, with mark and tone of every card, as JSON values."""
    plain = asdict(strip)
    for data, card in zip(plain["cards"], strip.cards, strict=True):
        data["mark"] = card.mark
        data["tone"] = card.tone.value
    return plain
