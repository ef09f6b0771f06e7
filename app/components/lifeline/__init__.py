"""Lifeline of a query patch: its attention in every block, the block that drops it, and the keep rates it survives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from app.components._shared.patch_grid import component, geometry
from app.components._shared.reported_values import pin as read_pin
from app.components._shared.reported_values import received
from app.session.view import Pin
from fpc_core.config import ModelConfig
from fpc_core.data.browser_encoding import encode_float32
from fpc_core.explain.lifelines import cutoffs, fell_in, life_line, living_range
from fpc_core.explain.masks import to_grid
from fpc_core.explain.sentences import patch_sentence
from fpc_core.results import DropStage, Encoding

_mount = component("lifeline")


def lifeline_data(
    encoding: Encoding, stages: Sequence[DropStage], keep_rates: Sequence[float], falls: np.ndarray
) -> dict[str, Any]:
    """Return the data for `LifelineView.show` in lifeline.js, for all patches of an image.

    In the result, the attention of a block is (N,), NaN for patches dropped earlier. The cut-off of a block that
    drops nothing is None.

    Args:
        encoding: Encoding of the image.
        stages: One stage per block, from `Retriever.trace_blocks`.
        keep_rates: (R,) keep rates.
        falls: (R, N) block that drops each patch at each keep rate, from `explain.lifelines.falls`.
    """
    dropping = {stage.block for stage in encoding.stages}
    strategy = encoding.prune.strategy
    patches = falls.shape[1]
    life_lines = [life_line(encoding, position) for position in range(patches)]
    cutoff_of = cutoffs(encoding)
    return {
        "blocks": [
            {
                "block": stage.block,
                "attention": encode_float32(
                    to_grid(stage.attention[0].cpu().numpy(), stage.entered[0].cpu().numpy(), encoding.grid)
                ),
                "kept": stage.kept.shape[1],
                "entered": stage.entered.shape[1],
                "drops": stage.block in dropping,
                "cutoff": cutoff_of.get(stage.block),
            }
            for stage in stages
        ],
        "fell": fell_in(encoding).tolist(),
        "keepRates": list(keep_rates),
        "keepRate": encoding.prune.keep_rate,
        "falls": falls.tolist(),
        "stories": [
            patch_sentence(life_lines[position], living_range(keep_rates, falls[:, position]), keep_rates, strategy)
            for position in range(patches)
        ],
    }


def lifeline(
    life: dict[str, Any],
    image: str,
    config: ModelConfig,
    *,
    key: str,
    pin: Pin | None,
    on_pin: Callable[[Pin | None], None],
) -> None:
    """Draw the lifelines of all patches over the query image.

    Args:
        life: Result of `lifeline_data`.
        image: Data URI of the query image.
        config: Configuration of the model.
        key: Key of the component.
        pin: Pinned patch, or None.
        on_pin: Callback that receives the newly pinned patch, or None for no pin, before the rerun.
    """

    def on_change() -> None:
        chosen = received(key, "pinned", read_pin)
        if chosen is not None:
            on_pin(chosen[0])

    shown = str(pin) if pin and pin.side == "q" else ""
    data = {"life": life, "picture": image, "grid": geometry(config), "pin": shown}
    _mount(key=key, data=data, on_pinned_change=on_change)
