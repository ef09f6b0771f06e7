"""Sidebar sliders that move the live views while dragged; the server receives a value on release."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import streamlit as st

from app.components import source
from app.components._shared.reported_values import count, numbers, received

_mount = st.components.v2.component(
    "fpc_live_sliders",
    html='<div class="sliders" role="group" aria-label="Settings with live preview"></div>',
    css=source("live_sliders/live_sliders.css"),
    js=source("_shared/dom.js", "_shared/live_store.js", "live_sliders/live_sliders.js"),
)


@dataclass(frozen=True)
class Slider:
    """A slider.

    Attributes:
        name: Of the value in the live store and in the URL.
        step: Of a drag and of an arrow key.
    """

    name: str
    label: str
    help: str
    low: float
    high: float
    step: float
    value: float


def live_sliders(sliders: Sequence[Slider], *, key: str, on_release: Callable[[Mapping[str, float]], None]) -> None:
    """Draw the sliders.

    Args:
        sliders: From top to bottom.
        key: The component's key.
        on_release: Called with all values, by name, before the rerun.
    """

    def on_change() -> None:
        values = received(key, "released", numbers({slider.name: (slider.low, slider.high) for slider in sliders}))
        if values is not None:
            on_release(values)

    serial = received(key, "released", lambda value: count(value["serial"])) or 0
    _mount(
        key=key,
        data={"serial": serial, "sliders": [asdict(slider) for slider in sliders]},
        on_released_change=on_change,
    )
