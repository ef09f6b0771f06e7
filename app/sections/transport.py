"""Sections about the selected hit: its transport plan with the query, and its comparison with another hit."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app.components.live_payload import view_key
from app.components.margin import margin as margin_component
from app.components.margin import margin_data
from app.components.transport import pair_data
from app.components.transport import transport as transport_component
from app.server import resources, search
from app.server.search import Query, SearchResult
from app.session.view import Pin
from app.ui import controls
from fpc_core.config import Solver
from fpc_core.data.browser_encoding import data_uri
from fpc_core.data.match_rule import MatchRule
from fpc_core.explain.cards import MARKS, comparison_candidates, identity_label, match_label
from fpc_core.explain.margin import margin
from fpc_core.workspace import Workspace

SHOWN = 10  # Number of hits offered for comparison.


def transport(
    workspace: Workspace,
    query: Query,
    result: SearchResult,
    chosen: int | None,
    pin: Pin | None,
    on_pin: Callable[[Pin | None], None],
) -> None:
    """Render the transport plan between the query and the selected hit.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        result: Result of the search.
        chosen: Gallery row of the selected hit, or None.
        pin: Pinned patch, or None.
        on_pin: Callback that receives the newly pinned patch, or None for no pin.
    """
    shortlist = result.trace.match.shortlist
    if chosen is None or chosen not in shortlist:
        _render_not_shortlisted(result)
        return
    position = shortlist.position(chosen)
    trace, record = result.trace, workspace.retriever.memory.records[chosen]
    plan = search.plan(workspace, query, trace, chosen)
    transport_component(
        view_key(query.digest, trace.settings),
        chosen,
        pair_data(plan, trace.match.transport, position),
        (data_uri(query.image), resources.thumbnail(workspace, record)),
        ("query", f"gallery: {identity_label(record)}"),
        workspace.retriever.model.config,
        key="transport",
        distance=(float(trace.match.shortlist.d_cos[position]), trace.settings.alpha),
        pin=pin,
        on_pin=on_pin,
    )
    _solver_note(result, position)


def pairwise_comparison(
    workspace: Workspace,
    query: Query,
    result: SearchResult,
    chosen: int | None,
    requested: int | None,
    show_junk: bool,
    on_rival: Callable[[int], None],
) -> int | None:
    """Render a comparison of the selected hit with another hit.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        result: Result of the search.
        chosen: Gallery row of the selected hit, or None.
        requested: Gallery row of the other hit in the link; None to choose one automatically.
        show_junk: Whether junk images are offered.
        on_rival: Callback that receives the gallery row of a newly chosen other hit.

    Returns:
        Gallery row of the other hit. If there is none to compare, a message is rendered and None is returned.
    """
    if chosen is None or chosen not in result.trace.match.shortlist:
        _render_not_shortlisted(result)
        return None
    trace, records, uses_cameras = (
        result.trace,
        workspace.retriever.memory.records,
        workspace.dataset.excludes_own_camera,
    )
    rows = trace.by_distance.indices.tolist()
    tones = [match_label(records[row], query.subject, uses_cameras) for row in rows]
    offered, default = comparison_candidates(rows, tones, chosen, SHOWN, show_junk)
    if default is None:
        st.info("There is no other image to compare it with.")
        return None
    ranks = MatchRule(records, query.subject, uses_cameras).ranks(trace.by_distance)
    names = {row: f"#{ranks[row]}" if row in ranks else "the same-camera image" for row in (chosen, *offered)}
    labels = {row: f"{names[row]} · {identity_label(records[row])} {MARKS[tones[rows.index(row)]]}" for row in offered}
    rival = controls.comparison_hit(labels, requested if requested in offered else default, chosen, on_rival)
    config, alpha = workspace.retriever.model.config, trace.settings.alpha
    plans = search.plan(workspace, query, trace, chosen), search.plan(workspace, query, trace, rival)
    difference = margin(trace.match, plans, alpha, config.grid)
    winner, loser = difference.winner, difference.loser
    attention = dict(
        zip(trace.consolidation.neighbors.tolist(), trace.consolidation.neighbor_shares.tolist(), strict=True)
    )
    margin_component(
        margin_data(difference, (names[winner], names[loser]), (attention.get(winner), attention.get(loser)), alpha),
        (
            resources.thumbnail(workspace, records[winner]),
            data_uri(query.image),
            resources.thumbnail(workspace, records[loser]),
        ),
        config,
        key="margin",
    )
    st.caption(f"The patch values sum to the difference in {alpha:g} × D_EMD. Ranks are by D.")
    return rival


def _render_not_shortlisted(result: SearchResult) -> None:
    size = len(result.trace.match.shortlist.indices)
    st.info(
        f"Patches are matched only for the {size} shortlisted images. This image is not one of them; choose another."
    )


def _solver_note(result: SearchResult, position: int) -> None:
    transport, settings = result.trace.match.transport, result.trace.settings.transport
    error, iterations = float(transport.marginal_error[position]), int(transport.iterations[position])
    if settings.solver is Solver.SINKHORN and error > settings.tolerance:
        st.warning(
            f"Sinkhorn did not converge in {iterations} iterations (L1 error of the marginals {error:.1e}). "
            "Try a larger ε under Advanced."
        )
    else:
        steps = f"{iterations} iterations, " if settings.solver is Solver.SINKHORN else ""
        st.caption(f"Solver {settings.solver.value}: {steps}L1 error of the marginals {error:.1e}")
