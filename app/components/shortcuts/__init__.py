"""Keyboard shortcuts of a page, and a dialog that lists them, opened with the question mark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import streamlit as st

from app.components import source
from app.components._shared.reported_values import one_of, received

_mount = st.components.v2.component(
    "fpc_shortcuts",
    html='<dialog class="shortcuts" aria-label="Keyboard shortcuts"></dialog>',
    css=source("shortcuts/shortcuts.css"),
    js=source("_shared/dom.js", "shortcuts/shortcuts.js"),
)

_STEPS = {"previous": -1, "next": 1}


@dataclass(frozen=True)
class Shortcut:
    """A key that clicks or focuses an element of the page, or selects another query.

    Attributes:
        keys: Values of `KeyboardEvent.key`, the first of which the dialog shows.
        about: What the key does, for the dialog.
        selector: CSS selector of the element; inside a component, its selector follows after " >>> ". Empty if the
            key selects another query.
        action: "click", "focus", "fullscreen", or "previous" and "next", which select another query.
    """

    keys: tuple[str, ...]
    about: str
    selector: str = ""
    action: Literal["click", "focus", "fullscreen", "previous", "next"] = "click"


def shortcuts(all_shortcuts: Sequence[Shortcut], on_step: Callable[[int], None], *, key: str = "shortcuts") -> None:
    """Mount the shortcuts. They are ignored while a text field has the focus.

    Args:
        all_shortcuts: Shortcuts in the order of the dialog.
        on_step: Callback that receives -1 for the previous query and 1 for the next one, before the rerun.
        key: Key of the component.
    """

    def on_change() -> None:
        direction = received(key, "stepped", one_of(_STEPS))
        if direction is not None:
            on_step(_STEPS[direction])

    _mount(key=key, data={"shortcuts": [asdict(each) for each in all_shortcuts]}, on_stepped_change=on_change)
