"""The query and the patches that remain after every dropping block, drawn in the browser."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from app.components import source
from app.components._shared.patch_grid import geometry
from app.components._shared.reported_values import MAX_CHARACTERS, count, received
from fpc_core.config import DropStrategy, ModelConfig
from fpc_core.data.browser_encoding import encode_float32

_HOW = {
    DropStrategy.NON_SALIENT: ", those with the least attention from [cls]",
    DropStrategy.SALIENT: ", those with the most attention from [cls]",
    DropStrategy.RANDOM: " at random",
    DropStrategy.GIVEN: ", as you chose",
}
_mount = st.components.v2.component(
    "fpc_masks",
    html='<div class="masks"><button type="button" class="by-hand" hidden>Prune by hand</button>'
    '<div class="strips"></div><p class="story"></p><div class="tools" hidden></div></div>',
    css=source("_shared/cards.css", "_shared/patch_grid.css", "masks/masks.css"),
    js=source(
        "_shared/dom.js",
        "_shared/colours.js",
        "_shared/patch_geometry.js",
        "_shared/dropped_patches.js",
        "_shared/live_store.js",
        "_shared/patch_grid.js",
        "_shared/card.js",
        "masks/painting.js",
        "masks/mask_editor.js",
        "masks/masks.js",
    ),
)


@dataclass(frozen=True)
class Painter:
    """State and callback of the editor with which a visitor drops patches by hand.

    Attributes:
        survived: (N,) number of dropping blocks that each patch survives by the visitor's choice; None while the model
            chooses.
        model: (N,) number of dropping blocks that each patch survives by the model's choice; None if the masks already
            show this choice.
        on_paint: Callback that receives one digit per patch, as in `survived`, or an empty text for the model's choice.
    """

    survived: Sequence[int] | None
    model: Sequence[int] | None
    on_paint: Callable[[str], None]


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
    painter: Painter | None = None,
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
        painter: Editor for dropping patches by hand; None to offer no editor.
    """
    read = partial(_read_painted, patches=config.patches, blocks=len(blocks))

    def on_change() -> None:
        painted = received(key, "painted", read, max_characters=MAX_CHARACTERS + config.patches)
        if painted is not None and painter is not None:
            painter.on_paint(painted[0])

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
        "painter": None,
    }
    if painter is not None:
        painted = received(key, "painted", read, max_characters=MAX_CHARACTERS + config.patches)
        data["painter"] = {
            "serial": 0 if painted is None else painted[1],
            "survived": "".join(map(str, painter.survived or ())),
            "model": None if painter.model is None else list(painter.model),
        }
    _mount(key=key, data=data, on_painted_change=on_change)


def _read_painted(value: Any, patches: int, blocks: int) -> tuple[str, int]:
    """Return the digits and the serial number of a report.

    Args:
        value: Report of the browser.
        patches: Number of patches.
        blocks: Number of pruning layers.

    Raises:
        ValueError: The digits are invalid.
    """
    survived = value["survived"]
    if not isinstance(survived, str) or len(survived) not in (0, patches):
        raise ValueError(f"the report must have one digit for each of the {patches} patches")
    kept = str(blocks)
    if survived and not (set(survived) <= set(map(str, range(blocks + 1))) and kept in survived):
        raise ValueError(f"the digits must be in 0..{kept}, and one must be {kept}")
    return survived, count(value["serial"])


def drop_story(strategy: DropStrategy, areas: tuple[np.ndarray, np.ndarray] | None) -> dict[str, Any]:
    """Return the parts of the sentence below the masks that do not depend on the keep rate.

    Args:
        strategy: Drop strategy of the search.
        areas: (rows, columns) shares of every patch that show the person and an occluder, from
            `patch_contents.patch_areas`; None without ground truth.
    """
    names = ("person", "occluder")
    shown = {} if areas is None else {name: encode_float32(area) for name, area in zip(names, areas, strict=True)}
    return {"how": _HOW[strategy], "areas": shown}
