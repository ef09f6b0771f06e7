"""Sliders of the sidebar that move the live views as they are dragged; the server hears of a value on release."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import streamlit as st

from app.components import source

_mount = st.components.v2.component(
    "fpc_live_sliders",
    html='<div class="dials" role="group" aria-label="Settings that answer while dragged"></div>',
    css=source("live_sliders/live_sliders.css"),
    js=source("_shared/dom.js", "_shared/live_store.js", "live_sliders/live_sliders.js"),
)


@dataclass(frozen=True)
class Slider:
    """name: of the value in the store and in the URL.  step: what a drag and an arrow key snap to."""

    name: str
    label: str
    help: str
    low: float
    high: float
    step: float
    value: float


def live_sliders(shown: Sequence[Slider], *, key: str, on_release: Callable[[Mapping[str, float]], None]) -> None:
    """Draw the dials. on_release: called with the value of every dial before the rerun a release causes."""

    def released() -> None:
        values = st.session_state[key].get("released") or {}
        on_release({dial.name: values[dial.name] for dial in shown})

    serial = (st.session_state.get(key, {}).get("released") or {}).get("serial", 0)
    _mount(key=key, data={"serial": serial, "dials": [asdict(dial) for dial in shown]}, on_released_change=released)
