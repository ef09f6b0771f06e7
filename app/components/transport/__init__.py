"""Transport plan between the query and a gallery image. Visitors can point at patches, focus them and pin them.

The browser gets all data at once and draws it. It sends only new pins to the server.
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

_mount = component("transport", "flows")


def pair_data(plan: TransportPlan, transport: Transport, position: int) -> dict[str, Any]:
    """Return the data for `TransportView.show` in transport.js, for one gallery image.

    In the result, `plan` and `cost` are (M, N), and `kept` is (M,), the grid positions of the query patches. The
    marginals `queryMarginal` and `galleryMarginal` are (M,) and (N,). `dEmd` is D_EMD, the sum of plan * cost.

    Args:
        plan: Transport plan to the gallery image.
        transport: Transport of the whole shortlist.
        position: Position of the gallery image in the shortlist.
    """
    if not 0 <= position < len(transport.distance):
        raise ValueError(f"position {position} is outside the shortlist of {len(transport.distance)} images")
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
    distance: tuple[float, float],
    pin: Pin | None,
    on_pin: Callable[[Pin | None], None],
) -> None:
    """Draw a transport plan. While the keep rate is dragged, the browser draws the plan in the live store instead.

    Args:
        view: Key of the view, from `live_payload.view_key`.
        row: Gallery row of the image.
        pair: Result of `pair_data`.
        images: Data URIs of query and gallery image.
        names: Names of both images, shown above them.
        config: Configuration of the model.
        key: Key of the component.
        distance: D_cos and alpha, from which D is computed (Eq. 10).
        pin: Pinned patch, or None.
        on_pin: Callback that receives the newly pinned patch, or None for no pin, before the rerun.
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
        "distance": list(distance),
        "pin": str(pin) if pin else "",
    }
    _mount(key=key, data=data, on_pinned_change=on_change)
