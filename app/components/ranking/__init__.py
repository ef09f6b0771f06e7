"""The three strips of a query. The browser ranks those by cosine and by D while a slider is dragged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from app.components import source
from app.components._shared.reported_values import received, row
from app.components.cards import plain_strip
from fpc_core.explain.cards import Strip

_mount = st.components.v2.component(
    "fpc_ranking",
    html='<div class="strips"></div>',
    css=source("_shared/cards.css", "ranking/ranking.css"),
    js=source(
        "_shared/dom.js",
        "_shared/live_store.js",
        "_shared/rank_by_distance.js",
        "_shared/card.js",
        "ranking/ranking.js",
    ),
)


def ranking(
    answer: Mapping[str, Any],
    final: Strip | None,
    *,
    key: str,
    show: int,
    junk: bool,
    chosen: int | None,
    on_pick: Callable[[str], None],
    width: int = 112,
) -> None:
    """Draw the strips, with images from `image_store`.

    Args:
        answer: `answer_data` of live_payload, shared with every live view of the page.
        final: The consolidated strip; None draws the strip by D alone.
        key: The component's key.
        show: Hits per strip.
        junk: Whether junk images are shown.
        chosen: Gallery row of the selected hit.
        on_pick: Called with the gallery row of a clicked card before the rerun.
        width: Of a card in CSS pixels.
    """

    def on_change() -> None:
        choice = received(key, "picked", row)
        if choice is not None:
            on_pick(choice)

    data = {
        "answer": dict(answer),
        "final": plain_strip(final) if final else None,
        "show": show,
        "junk": junk,
        "chosen": chosen,
        "width": width,
    }
    _mount(key=key, data=data, on_picked_change=on_change)
