"""Table of scores: measured scores with intervals as bars, the paper's scores, and a recipe button in every row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import streamlit as st

from app.components import source
from app.components._shared.reported_values import one_of, received
from app.components.score_table.content import ScoreSheet

_mount = st.components.v2.component(
    "fpc_score_table",
    html='<div class="scores"></div>',
    css=source("score_table/score_table.css"),
    js=source("_shared/dom.js", "score_table/score_table.js"),
)


def score_table(sheet: ScoreSheet, *, key: str, on_pick: Callable[[str], None]) -> None:
    """Draw a table of scores.

    Args:
        sheet: Table to draw.
        key: Key of the component.
        on_pick: Callback that receives the `ScoreRow.pick` of a clicked recipe before the rerun.
    """

    def on_change() -> None:
        choice = received(key, "picked", one_of({row.pick for row in sheet.rows if row.pick}))
        if choice is not None:
            on_pick(choice)

    _mount(key=key, data=asdict(sheet), on_picked_change=on_change)
