"""Strips of image cards that can be clicked or reached by keyboard.

All text and pictures travel as data and are set as text content or image source, never as markup.
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
    pictures: Mapping[str, str],
    *,
    key: str,
    on_pick: Callable[[str], None] | None = None,
    width: int = 96,
) -> None:
    """Draw strips. pictures: data URI by `Card.image`.  on_pick: called with the id of a clicked card before the rerun.

    width: of a card in CSS pixels. Without `on_pick` cards are figures, not buttons.
    """

    def picked() -> None:
        choice = received(key, "picked", one_of({card.id for strip in strips for card in strip.cards}))
        if on_pick is not None and choice is not None:
            on_pick(choice)

    data: dict[str, Any] = {
        "strips": [plain_strip(strip) for strip in strips],
        "pictures": dict(pictures),
        "width": width,
        "clickable": on_pick is not None,
    }
    _mount(key=key, data=data, on_picked_change=picked)


def plain_strip(strip: Strip) -> dict[str, Any]:
    """The strip as JSON values."""
    plain = asdict(strip)
    for drawn, card in zip(plain["cards"], strip.cards, strict=True):
        drawn["mark"] = card.mark
        drawn["tone"] = card.tone.value
    return plain
