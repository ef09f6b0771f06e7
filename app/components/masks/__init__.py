"""The query and the patches left by every dropping block, drawn in the browser at any keep rate it has."""

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
    """Draw the answer that the page's `ranking` received, or `survived`.

    Args:
        image: Data URI of the query at the model's input size.
        config: Of the model.
        blocks: Indices of the dropping blocks.
        view: `view_key` of live_payload.
        key: The component's key.
        survived: Per patch, the number of dropping blocks it survived.
        notes: An extra line for the input and for every block.
        width: Of a card in CSS pixels.
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
