"""The transport plan between the query and one gallery image; patches can be pointed at, focused and pinned.

All data is sent once and drawn in the browser. The server receives only a new pin.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from app.components._shared.patch_grid import component, geometry
from app.components._shared.reported_values import pin as read_pin
from app.components._shared.reported_values import received
from app.session.view import Pin
from fpc_core.config import ModelConfig
from fpc_core.data.browser_encoding import encode_float32
from fpc_core.results import Transport, TransportPlan

_mount = component("transport")


def pair_data(plan: TransportPlan, transport: Transport, position: int) -> dict[str, Any]:
    """Return the data of `TransportView.show` in transport.js for one gallery image.

    In the result `kept` has the grid position of every row of plan and cost (M, N), `queryMarginal` is (M,),
    `galleryMarginal` (N,), and `dEmd` is the solver's D_EMD, the sum of plan * cost.

    Args:
        plan: Of the gallery image.
        transport: Of the whole shortlist.
        position: Of the gallery image in the shortlist.
    """
    if not 0 <= position < len(transport.distance):
        raise ValueError(f"position {position} is outside the shortlist of {len(transport.distance)}")
    return {
        "kept": np.asarray(plan.query_positions).tolist(),
        "plan": encode_float32(plan.plan),
        "cost": encode_float32(plan.cost),
        "queryMarginal": encode_float32(transport.query_marginal[position]),
        "galleryMarginal": encode_float32(transport.gallery_marginal[position]),
        "dEmd": float(transport.distance[position]),
    }


def transport(
    view: str,
    row: int,
    pair: dict[str, Any],
    images: tuple[str, str],
    names: tuple[str, str],
    config: ModelConfig,
    *,
    key: str,
    pin: Pin | None,
    on_pin: Callable[[Pin | None], None],
) -> None:
    """Draw a `pair_data`; while the keep rate is dragged, draw the pair that the live store has for it.

    Args:
        view: `view_key` of live_payload.
        row: Gallery row of the image.
        pair: Sent to the browser.
        images: Data URIs of query and gallery image.
        names: Of both images, for screen readers.
        config: Of the model.
        key: The component's key.
        pin: The pinned patch.
        on_pin: Called with the pinned patch, or None for no pin, before the rerun.
    """

    def on_change() -> None:
        chosen = received(key, "pinned", read_pin)
        if chosen is not None:
            on_pin(chosen[0])

    data = {
        "key": view,
        "row": row,
        "pair": pair,
        "pictures": images,
        "names": names,
        "grid": geometry(config),
        "pin": str(pin) if pin else "",
    }
    _mount(key=key, data=data, on_pinned_change=on_change)
