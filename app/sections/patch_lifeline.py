"""Lifeline section, which shows the encoder layer that drops each patch."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app.components.lifeline import lifeline, lifeline_data
from app.server import search
from app.server.search import Query, SearchResult
from app.session.view import Pin, keep_rates
from fpc_core.data.browser_encoding import data_uri
from fpc_core.workspace import Workspace


def render_lifelines(
    workspace: Workspace, query: Query, result: SearchResult, pin: Pin | None, on_pin: Callable[[Pin | None], None]
) -> None:
    """Compute and render the layers in which patches are dropped, and the keep rates that they survive.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        result: Result of the search.
        pin: Pinned patch, or None.
        on_pin: Callback that receives the newly pinned patch, or None for no pin.
    """
    rates = keep_rates()
    prune = result.trace.settings.prune
    with st.spinner("Tracing every patch …"):
        blocks = search.attention_per_block(workspace, query, prune)
        drop_blocks = search.drop_block_per_keep_rate(workspace, query, prune, rates)
    lifeline(
        lifeline_data(result.trace.encoding, blocks, rates, drop_blocks),
        data_uri(query.image),
        workspace.retriever.model.config,
        key="lifeline",
        pin=pin,
        on_pin=on_pin,
    )
