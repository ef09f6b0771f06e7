"""Section on single patches: their way through the blocks, computed only when it is asked for."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app.components.lifeline import lifeline, lifeline_data
from app.server import search
from app.server.search import Query, SearchResult
from app.session.view import Pin, keep_rates
from fpc_core.data.browser_encoding import data_uri
from fpc_core.workspace import Workspace


def patch_life(
    workspace: Workspace, query: Query, found: SearchResult, pin: Pin | None, on_pin: Callable[[Pin | None], None]
) -> None:
    rates = keep_rates()
    asked = st.toggle(
        "Trace a patch through the layers",
        key="life",
        bind="query-params",
        help=f"Computes the encoder at {len(rates)} keep rates for this query (cached afterwards).",
    )
    if not asked:
        return
    followed_patches(workspace, query, found, pin, on_pin)


def followed_patches(
    workspace: Workspace, query: Query, found: SearchResult, pin: Pin | None, on_pin: Callable[[Pin | None], None]
) -> None:
    rates = keep_rates()
    prune = found.trace.settings.prune
    with st.spinner("Tracing every patch …"):
        blocks = search.attention_per_block(workspace, query, prune)
        falls = search.drop_block_per_keep_rate(workspace, query, prune, rates)
    lifeline(
        lifeline_data(found.trace.encoding, blocks, rates, falls),
        data_uri(query.image),
        workspace.retriever.model.config,
        key="lifeline",
        pin=pin,
        on_pin=on_pin,
    )
