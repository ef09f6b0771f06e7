"""A strip of neighbours under heat maps, drawn in the browser from numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import streamlit as st

from app.components import source
from app.components.cards import plain_strip
from app.components.patchgrid import geometry, packed
from fpc_core.config import ModelConfig
from fpc_core.explain.strips import Strip

_mount = st.components.v2.component(
    "fpc_heat",
    html='<div class="strips"></div>',
    css=source("cards.css", "heat.css"),
    js=source("shared.js", "store.js", "geometry.js", "patchgrid.js", "card.js", "heat.js"),
)


def heat_data(key: str, grids: np.ndarray) -> dict[str, Any]:
    """Heat maps (K, rows, columns) on a common scale from 0 to their strongest patch, NaN for a patch without a value.

    key: of the view that they belong to.
    """
    known = grids[np.isfinite(grids)]
    return {"key": key, "grids": packed(grids), "top": float(known.max()) if known.size else 0.0}


def heat(
    strip: Strip,
    config: ModelConfig,
    view: str,
    *,
    key: str,
    shown: Mapping[str, Any] | None,
    on_pick: Callable[[str], None],
    width: int = 112,
) -> None:
    """Draw a strip; its pictures come from `album`.

    shown: `heat_data`; None for what `feed` brings under the key `view` once it is computed.
    """

    def picked() -> None:
        choice = st.session_state[key].get("picked")
        if choice is not None:
            on_pick(str(choice))

    data = {
        "strip": plain_strip(strip), "grid": geometry(config), "key": view, "heat": shown and dict(shown),
        "width": width,
    }  # fmt: skip
    _mount(key=key, data=data, on_picked_change=picked)
