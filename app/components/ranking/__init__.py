"""Strips of the three rankings of a query. During a drag, the browser itself updates those by cosine and by D."""

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
    html='<div class="ranking"><div class="choice" role="group" aria-label="Ranking"></div>'
    '<div class="strips"></div></div>',
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
    compact: bool = False,
    width: str = "112px",
) -> None:
    """Draw the strips, with images from `image_store`.

    Args:
        answer: Result of `live_payload.answer_data`, which all live views of the page share.
        final: Strip of the ranking after consolidation. If it is None, only the strip by D is drawn.
        key: Key of the component.
        show: Number of hits per strip.
        junk: Whether junk images are shown.
        chosen: Gallery row of the selected hit, or None.
        on_pick: Callback that receives the gallery row of a clicked card before the rerun.
        compact: Whether the cards have only one line of text each, and a narrow screen shows one strip at a time.
        width: Width of a card, as a CSS length.
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
        "compact": compact,
    }
    _mount(key=key, data=data, on_picked_change=on_change)
