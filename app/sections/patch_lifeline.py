"""Lifeline section: shows in which encoder layer each patch is dropped. It is computed when it is shown."""

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
    """Render the layers in which patches are dropped, and the keep rates that they survive."""
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
