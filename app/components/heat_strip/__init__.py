"""A strip of image cards with heat maps, drawn in the browser from numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import streamlit as st

from app.components import source
from app.components._shared.patch_grid import geometry
from app.components._shared.reported_values import one_of, received
from app.components.cards import plain_strip
from fpc_core.config import ModelConfig
from fpc_core.data.browser_encoding import encode_float32
from fpc_core.explain.cards import Strip

_mount = st.components.v2.component(
    "fpc_heat_strip",
    html='<div class="strips"></div>',
    css=source("_shared/scale.css", "_shared/cards.css", "heat_strip/heat_strip.css"),
    js=source(
        "_shared/dom.js",
        "_shared/colours.js",
        "_shared/live_store.js",
        "_shared/patch_geometry.js",
        "_shared/dropped_patches.js",
        "_shared/patch_grid.js",
        "_shared/card.js",
        "heat_strip/heat_strip.js",
    ),
)


def heat_data(grids: np.ndarray, top: float) -> dict[str, Any]:
    """Return the data of heat maps with a common scale.

    Args:
        grids: (..., rows, columns) values, NaN for patches without a value.
        top: Value at the bright end of the scale, which begins at 0.
    """
    return {"grids": encode_float32(grids), "top": top}


def heat_strip(
    strip: Strip,
    config: ModelConfig,
    view: str,
    part: str,
    *,
    key: str,
    images: Mapping[str, str] | None = None,
    on_pick: Callable[[str], None] | None = None,
    columns: int = 0,
    width: str = "112px",
) -> None:
    """Draw a strip of images, with heat maps as soon as `job_result` has sent them.

    Args:
        strip: Strip with one card per heat map.
        config: Configuration of the model.
        view: Key of the heat maps, from `prefetch.heat_key`.
        part: Name of the heat maps in the result of `prefetch.heat`.
        key: Key of the component.
        images: Data URIs by `Card.image`; all other images come from `image_store`.
        on_pick: Callback that receives the id of a clicked card before the rerun. Without it, cards are not buttons.
        columns: Number of cards in a row; 0 for one row that scrolls.
        width: Width of a card, as a CSS length.
    """

    def on_change() -> None:
        choice = received(key, "picked", one_of({card.id for card in strip.cards}))
        if on_pick is not None and choice is not None:
            on_pick(choice)

    data = {
        "strip": plain_strip(strip),
        "grid": geometry(config),
        "key": view,
        "part": part,
        "width": width,
        "columns": columns,
        "pictures": dict(images or {}),
        "clickable": on_pick is not None,
    }
    _mount(key=key, data=data, on_picked_change=on_change)
