"""Decoder section: heat maps of the neighbours and of the query, and the attention shares."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st
import torch

from app.components.bars import bars, share_bars
from app.components.heat_strip import heat_strip
from app.components.job_result import job_result
from app.sections import prefetch
from app.server.search import Query, SearchResult
from app.session.figure_basket import Item, add_button
from app.session.visitor import current_visitor
from app.ui import heatmap_controls
from app.ui.query_picker import is_dataset_query
from fpc_core.config import MapSettings, MapTarget, Variant
from fpc_core.data.browser_encoding import data_uri
from fpc_core.explain.cards import Card, Scale, Strip, decoder_cards, identity_label
from fpc_core.explain.heatmap_methods import DESCRIPTIONS, TARGETED, colorbar_label, map_target
from fpc_core.explain.heatmap_targets import decoder_target, explained_index
from fpc_core.figures.recipe import FigureKind
from fpc_core.workspace import Workspace

MAPS = "maps"  # Key of the fragment that computes heat maps.


@st.fragment
def decoder(
    workspace: Workspace, query: Query, result: SearchResult, chosen: int | None, on_pick: Callable[[str], None]
) -> None:
    """Render the section. Changing the method or the target reruns only this fragment."""
    st.subheader("What the decoder used from each neighbour", anchor="decoder")
    trace, consolidation = result.trace, result.trace.consolidation
    config, records = workspace.retriever.model.config, workspace.retriever.memory.records
    maps = heatmap_controls.map_settings("", chosen, workspace.weights.knows_identities)
    view = prefetch.heat_key(query, trace.settings, maps, chosen)
    st.caption(f"{DESCRIPTIONS[maps.method]} {_target_note(workspace, result, maps)}")

    def pick(row: str) -> None:
        on_pick(row)
        st.rerun()

    target = map_target(maps, config.identities)
    if maps.target is MapTarget.SIMILARITY and maps.index is not None:
        target = f"the cosine to {identity_label(records[maps.index])}"
    cards = decoder_cards(consolidation, records, query.subject, workspace.dataset.excludes_own_camera, chosen)
    strip = Strip("heat", "", cards, scale=Scale(colorbar_label(maps, target), "0", ""))
    heat_strip(strip, config, view, "neighbors", key="heat", on_pick=pick)

    images = {"query": data_uri(query.image)}
    encoder, own, shares = st.columns([2, 2, 3], gap="medium")
    if chosen is not None:
        with encoder:
            st.markdown("**Which query patches make it similar to the selected image?**")
            label = colorbar_label(
                prefetch.encoder_map_settings(maps, chosen), f"1 − D_cos to {identity_label(records[chosen])}"
            )
            card = Card(
                "encoder",
                "query",
                "Query",
                ("from the encoder's", "last layer"),
                alt="the query, as the encoder sees it",
            )
            strip = Strip("encoder", "", (card,), scale=Scale(label, "0", ""))
            heat_strip(strip, config, view, "encoder", key="heat-encoder", images=images)
    with own:
        st.markdown("**What the decoder used from the query**")
        if trace.settings.variant is Variant.RELEASED:
            st.caption(
                "Nothing: the authors' released code does not pass the query to the decoder. Switch Variant to "
                '"paper" to include it.'
            )
        else:
            share = f"{consolidation.query_share:.1%} of attention"
            card = Card("own", "query", "Query", (share,), alt=f"the query in the decoder, {share}")
            strip = Strip("own", "", (card,), scale=Scale(colorbar_label(maps, target), "0", ""))
            heat_strip(strip, config, view, "query", key="heat-query", images=images)
    with shares:
        st.markdown("**Where the decoder's attention went**")
        bars(share_bars(consolidation), key="shares", about="Attention shares of Eq. 13")
    if is_dataset_query(query):
        path = records[chosen].path.as_posix() if chosen is not None else ""
        add_button(
            Item(query.name),
            trace.settings,
            FigureKind.DECODER_MAPS,
            what="heat maps",
            key="-maps",
            gallery=path,
            maps=maps,
        )
    _maps(workspace, query, result, maps, chosen, view)


@st.fragment(key=MAPS)
def _maps(
    workspace: Workspace, query: Query, result: SearchResult, maps: MapSettings, chosen: int | None, view: str
) -> None:
    """Compute heat maps in the background, so that they do not delay sliders. The browser polls this fragment."""
    job_result("heat", view, prefetch.heat(workspace, query, result, maps, chosen, current_visitor()), MAPS)


def _target_note(workspace: Workspace, result: SearchResult, maps: MapSettings) -> str:
    """Return a sentence on the training identity that the map explains, or an empty string for other targets."""
    if maps.target is not MapTarget.IDENTITY or maps.method not in TARGETED:
        return ""
    index = explained_index(workspace.retriever, result.trace, maps)
    feature = torch.from_numpy(result.trace.consolidation.feature).to(workspace.device)
    logit = float(decoder_target(workspace.retriever, result.trace, maps)(feature))
    count = workspace.retriever.model.config.identities
    return (
        f"Training identity {index} of {count} has the largest logit, {logit:.2f}. It is a person of the "
        "training data, who may not be in this gallery."
    )
