"""Sliders that update the live views during a drag. The server receives a value only when it is released."""

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
    """A slider whose value the live views follow while it is dragged.

    Attributes:
        name: Name of the value in the live store and in the URL.
        label: Label above the slider.
        help: Text that the help button shows.
        low: Minimum.
        high: Maximum.
        step: Smallest change by pointer or arrow key.
        value: Current value.
        paper: Value in the paper, which a tick below the slider marks.
    """

    name: str
    label: str
    help: str
    low: float
    high: float
    step: float
    value: float
    paper: float


def live_sliders(
    sliders: Sequence[Slider], *, key: str, on_release: Callable[[Mapping[str, float]], None], compact: bool = False
) -> None:
    """Draw sliders below each other.

    Args:
        sliders: Sliders from top to bottom.
        key: Key of the component.
        on_release: Callback that receives the values of all sliders, by name, before the rerun.
        compact: Whether each slider takes one line on a narrow screen.
    """

    def on_change() -> None:
        values = received(key, "released", numbers({slider.name: (slider.low, slider.high) for slider in sliders}))
        if values is not None:
            on_release(values)

    serial = received(key, "released", lambda value: count(value["serial"])) or 0
    _mount(
        key=key,
        data={"serial": serial, "sliders": [asdict(slider) for slider in sliders], "compact": compact},
        on_released_change=on_change,
    )
