"""The transport plan between the query and one gallery image, to be touched: hover, arrow keys, click to pin.

Everything is sent once and drawn in the browser; the server hears only of a new pin.
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


def pair_data(plan: TransportPlan, transport: Transport, place: int) -> dict[str, Any]:
    """One query and one gallery image as `TransportView.show` of transport.js takes them.

    place: of the candidate in the shortlist.  kept: grid position of every row of plan and cost (M, N); queryMarginal
    (M,), galleryMarginal (N,): the marginals; dEmd: D_EMD as the solver gave it, the sum of plan * cost.
    """
    if not 0 <= place < len(transport.distance):
        raise ValueError(f"place {place} lies outside the shortlist of {len(transport.distance)}")
    return {
        "kept": np.asarray(plan.query_positions).tolist(),
        "plan": encode_float32(plan.plan),
        "cost": encode_float32(plan.cost),
        "queryMarginal": encode_float32(transport.query_marginal[place]),
        "galleryMarginal": encode_float32(transport.gallery_marginal[place]),
        "dEmd": float(transport.distance[place]),
    }


def transport(
    view: str,
    row: int,
    pair: dict[str, Any],
    pictures: tuple[str, str],
    names: tuple[str, str],
    config: ModelConfig,
    *,
    key: str,
    pin: Pin | None,
    on_pin: Callable[[Pin | None], None],
) -> None:
    """Draw a `pair_data`; while the keep rate is dragged, the one that the page's live state holds for it.

    view: `live.view_key`.  row: of the gallery image in the memory.
    pictures, names: data URI and spoken name of query and gallery image.
    on_pin: called with the patch pinned, or None when it is let go, before the rerun.
    """

    def pinned() -> None:
        chosen = received(key, "pinned", read_pin)
        if chosen is not None:
            on_pin(chosen[0])

    data = {
        "key": view,
        "row": row,
        "pair": pair,
        "pictures": pictures,
        "names": names,
        "grid": geometry(config),
        "pin": str(pin) if pin else "",
    }
    _mount(key=key, data=data, on_pinned_change=pinned)
