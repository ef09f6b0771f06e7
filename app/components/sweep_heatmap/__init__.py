"""Heat map as a table of buttons, so that cells can be clicked, reached with arrow keys and read by screen readers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import streamlit as st

from app.components import source
from app.components._shared.reported_values import one_of, received
from app.components.sweep_heatmap.content import Heatmap

_mount = st.components.v2.component(
    "fpc_sweep_heatmap",
    html='<div class="heatmap"></div>',
    css=source("_shared/scale.css", "sweep_heatmap/sweep_heatmap.css"),
    js=source("_shared/dom.js", "_shared/colours.js", "sweep_heatmap/sweep_heatmap.js"),
)


def heatmap_table(heatmap: Heatmap, *, key: str, on_pick: Callable[[str], None]) -> None:
    """Draw a heat map.

    Args:
        heatmap: Heat map to draw.
        key: Key of the component.
        on_pick: Callback that receives the id of a clicked cell before the rerun.
    """

    def on_change() -> None:
        choice = received(key, "picked", one_of({tile.id for line in heatmap.tiles for tile in line if tile.id}))
        if choice is not None:
            on_pick(choice)

    _mount(key=key, data=asdict(heatmap), on_picked_change=on_change)
