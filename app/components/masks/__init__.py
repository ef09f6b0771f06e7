"""The query and the patches that remain after every dropping block, drawn in the browser."""

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
    """Draw the masks of `survived` or, without it, of the answer that the page's `ranking` component received.

    Args:
        image: Data URI of the query at the model's input size.
        config: Configuration of the model.
        blocks: Indices of the dropping blocks.
        view: Key of the answer to draw, from `live_payload.view_key`.
        key: Key of the component.
        survived: (N,) number of dropping blocks that each patch survived.
        notes: Additional line for the input and for each block.
        width: Width of a card in CSS pixels.
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
