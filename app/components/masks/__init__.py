"""The query and the patches that remain after every dropping block, drawn in the browser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st

from app.components import source
from app.components._shared.patch_grid import geometry
from fpc_core.config import DropStrategy, ModelConfig
from fpc_core.data.browser_encoding import encode_float32

_HOW = {
    DropStrategy.NON_SALIENT: ", those with the least attention from [cls]",
    DropStrategy.SALIENT: ", those with the most attention from [cls]",
    DropStrategy.RANDOM: " at random",
}
_mount = st.components.v2.component(
    "fpc_masks",
    html='<div class="masks"><div class="strips"></div><p class="story"></p></div>',
    css=source("_shared/cards.css", "masks/masks.css"),
    js=source(
        "_shared/dom.js",
        "_shared/patch_geometry.js",
        "_shared/dropped_patches.js",
        "_shared/live_store.js",
        "_shared/card.js",
        "masks/masks.js",
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
    story: Mapping[str, Any] | None = None,
    compact: bool = False,
    width: str = "128px",
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
        story: Result of `drop_story`, from which the browser writes a sentence below the masks; None for no sentence.
        compact: Whether the cards have only one line of text each.
        width: Width of a card, as a CSS length.
    """
    data = {
        "key": view,
        "image": image,
        "grid": geometry(config),
        "blocks": list(blocks),
        "width": width,
        "survived": None if survived is None else list(survived),
        "notes": list(notes),
        "story": story,
        "compact": compact,
    }
    _mount(key=key, data=data)


def drop_story(strategy: DropStrategy, areas: tuple[np.ndarray, np.ndarray] | None) -> dict[str, Any]:
    """Return the parts of the sentence below the masks that do not depend on the keep rate.

    Args:
        strategy: Drop strategy of the search.
        areas: (rows, columns) shares of every patch that show the person and an occluder, from `masks.patch_areas`;
            None without ground truth.
    """
    names = ("person", "occluder")
    shown = {} if areas is None else {name: encode_float32(area) for name, area in zip(names, areas, strict=True)}
    return {"how": _HOW[strategy], "areas": shown}
