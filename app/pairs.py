"""Sections on the query and one chosen neighbour: how patches travel between the two, and why it won."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import streamlit as st

from app import resources
from app.components.transport import pair_data
from app.components.transport import transport as transport_component
from app.pictures import data_uri
from app.resources import Found, Query
from app.state import Pin
from app.strips import who
from fpc_core.config import Solver
from fpc_core.workspace import Workspace


def transport(
    space: Workspace,
    query: Query,
    found: Found,
    chosen: int | None,
    pin: Pin | None,
    on_pin: Callable[[Pin | None], None],
) -> None:
    st.subheader("Why did this neighbour win?")
    place = _place(found, chosen)
    if chosen is None or place is None:
        _outside(found)
        return
    trace, record = found.trace, space.retriever.memory.records[chosen]
    plan = space.retriever.plan(trace.encoding, trace.match, place, trace.settings)
    d_cos, d_emd = (float(values[place]) for values in (trace.match.shortlist.d_cos, trace.match.transport.distance))
    alpha = trace.settings.alpha
    st.markdown(
        f"**D {(1 - alpha) * d_cos + alpha * d_emd:.4f}** = {1 - alpha:.2f} × {d_cos:.4f} (cos) + {alpha:.2f} × "
        f"{d_emd:.4f} (EMD)"
    )
    transport_component(
        pair_data(plan, trace.match.transport, place),
        (data_uri(query.image), resources.thumbnail(space, record)),
        ("query", f"gallery: {who(record)}"),
        space.retriever.model.config,
        key="transport",
        pin=pin,
        on_pin=on_pin,
    )
    _solver_note(found, place)


def _place(found: Found, chosen: int | None) -> int | None:
    places = np.flatnonzero(found.trace.match.shortlist.indices == chosen)
    return int(places[0]) if len(places) else None


def _outside(found: Found) -> None:
    size = len(found.trace.match.shortlist.indices)
    st.info(
        f"Transport is computed for the {size} shortlisted images only, and this one is not among them. Choose another."
    )


def _solver_note(found: Found, place: int) -> None:
    transport, settings = found.trace.match.transport, found.trace.settings.transport
    error, rounds = float(transport.marginal_error[place]), int(transport.iterations[place])
    if settings.solver is Solver.SINKHORN and error > settings.tolerance:
        st.warning(f"Not converged after {rounds} iterations: marginal error {error:.1e}. Raise ε in Advanced.")
    else:
        st.caption(f"{settings.solver.value}, {rounds} iterations, marginal error {error:.1e}")
