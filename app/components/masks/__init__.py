"""The query and what every dropping block left of it, drawn in the browser at any keep rate it holds."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.components import source
from app.components._shared.patch_grid import geometry
from fpc_core.config import ModelConfig
from fpc_core.explain.overlay import VEIL

_mount = st.components.v2.component(
    "fpc_masks",
    html='<div class="strips"></div>',
    css=source("_shared/cards.css", "masks/masks.css"),
    js=source(
        "_shared/dom.js", "_shared/patch_geometry.js", "_shared/live_store.js", "_shared/card.js", "masks/masks.js"
    ),
)


def masks(
    image: str,
    config: ModelConfig,
    blocks: Sequence[int],
    view: str = "",
    *,
    key: str,
    survived: Sequence[int] | None = None,
    notes: Sequence[str] = (),
    width: int = 128,
) -> None:
    """Draws what the page's `ranking` was given, or `survived`.

    image: data URI of the query at the model's input size.  blocks: indices of the dropping blocks.
    view: `live.view_key`.  survived: per patch, how many dropping blocks it outlived (`live.survived`).
    notes: one more line for the input and for every block.
    """
    data = {
        "key": view,
        "image": image,
        "grid": geometry(config),
        "blocks": list(blocks),
        "opacity": VEIL,
        "width": width,
        "survived": None if survived is None else list(survived),
        "notes": list(notes),
    }
    _mount(key=key, data=data)
