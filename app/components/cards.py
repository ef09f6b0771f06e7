"""Strips of image cards that can be clicked or reached by keyboard.

All text and pictures travel as data and are set as text content or image source, never as markup.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import streamlit as st

from app.strips import Strip

_HERE = Path(__file__).parent
_mount = st.components.v2.component(
    "fpc_cards",
    html='<div class="strips"></div>',
    css=(_HERE / "cards.css").read_text(encoding="utf-8"),
    js=(_HERE / "cards.js").read_text(encoding="utf-8"),
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
        choice = st.session_state[key].get("picked")
        if on_pick is not None and choice is not None:
            on_pick(str(choice))

    data: dict[str, Any] = {
        "strips": [_plain(strip) for strip in strips],
        "pictures": dict(pictures),
        "width": width,
        "clickable": on_pick is not None,
    }
    _mount(key=key, data=data, on_picked_change=picked)


def _plain(strip: Strip) -> dict[str, Any]:
    plain = asdict(strip)
    for card, source in zip(plain["cards"], strip.cards, strict=True):
        card["mark"] = source.mark
        card["tone"] = source.tone.value
    return plain
