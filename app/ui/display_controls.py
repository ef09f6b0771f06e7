"""Widgets that choose how results are displayed."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from app.messages import show_warnings
from app.session import link_checks
from app.session.display import PRUNED, pruned_style
from fpc_core.explain.overlay import PrunedStyle

_URL: Literal["query-params"] = "query-params"


def junk_switch(uses_cameras: bool) -> bool:
    """Render the switch that shows junk images, and return its value.

    Without usable cameras there are no junk images, so the switch is not rendered and the value is False.
    """
    show_warnings(link_checks.check_switch("junk"))
    return uses_cameras and st.toggle(
        "Show same-camera images",
        key="junk",
        bind=_URL,
        help='Images of the same person from the query\'s camera ("junk" in re-identification). They are excluded '
        "from scoring.",
    )


def pruned_style_choice() -> None:
    """Render the choice of how dropped patches are marked on all pages; `pruned_style` returns its value.

    The widget is not bound to the URL, because Streamlit would remove the parameter on pages without the widget.
    """
    key = "pruned-style"
    st.session_state[key] = pruned_style()

    def changed() -> None:
        st.query_params[PRUNED] = st.session_state[key].value

    st.segmented_control(
        "Dropped patches",
        list(PrunedStyle),
        required=True,
        key=key,
        on_change=changed,
        help="How dropped patches are marked on all pages and in new figures.",
    )
