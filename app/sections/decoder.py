"""Section on the decoder: what it took from each neighbour, on one scale, and what the encoder saw in the query."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st
import torch

from app.components.bars import bars, share_bars
from app.components.heat_strip import heat
from app.components.job_result import feed
from app.sections import prefetch
from app.server.search import Found, Query
from app.session import visitor
from app.session.figure_basket import Item, add_button
from app.ui import controls
from app.ui.query_picker import of_the_data
from fpc_core.config import MapSettings, MapTarget, Variant
from fpc_core.data.browser_encoding import data_uri
from fpc_core.explain.cards import Card, Scale, Strip, decoder_cards, who
from fpc_core.explain.heatmap_methods import SAYS, TARGETED, map_target, told
from fpc_core.explain.heatmap_targets import decoder_target, explained_index
from fpc_core.figures.recipe import FigureKind
from fpc_core.workspace import Workspace

MAPS = "maps"  # key of its fragment


@st.fragment
def decoder(space: Workspace, query: Query, found: Found, chosen: int | None, on_pick: Callable[[str], None]) -> None:
    """Another method or target runs this alone."""
    st.subheader("What did the decoder take from each neighbour?")
    trace, result = found.trace, found.trace.consolidation
    config, records = space.retriever.model.config, space.retriever.memory.records
    how = controls.map_settings("", chosen, space.weights.knows_identities)
    view = prefetch.heat_key(query, trace.settings, how, chosen)
    st.caption(f"{SAYS[how.method]} {_about_target(space, found, how)}")

    def pick(row: str) -> None:
        on_pick(row)
        st.rerun()

    target = map_target(how, config.identities)
    if how.target is MapTarget.SIMILARITY and how.index is not None:
        target = f"the cosine to {who(records[how.index])}"
    cards = decoder_cards(result, records, query.subject, space.dataset.uses_cameras, chosen)
    strip = Strip("heat", "", cards, scale=Scale(told(how, target), "0", ""))
    heat(strip, config, view, "neighbors", key="heat", on_pick=pick)

    pictures = {"query": data_uri(query.image)}
    encoder, own, shares = st.columns([2, 2, 3], gap="medium")
    if chosen is not None:
        with encoder:
            st.markdown("**What makes the query like the chosen one?**")
            label = told(prefetch.of_encoder(how, chosen), f"1 − D_cos to {who(records[chosen])}")
            card = Card(
                "encoder", "query", "Query", ("last block", "of the encoder"), alt="the query, seen by the encoder"
            )
            strip = Strip("encoder", "", (card,), scale=Scale(label, "0", ""))
            heat(strip, config, view, "encoder", key="heat-encoder", pictures=pictures)
    with own:
        st.markdown("**What did the decoder take from the query?**")
        if trace.settings.variant is Variant.RELEASED:
            st.caption("Nothing: the released decoder leaves it out. Choose the paper variant to bring it in.")
        else:
            share = f"takes {result.query_share:.1%}"
            card = Card("own", "query", "Query", (share,), alt=f"the query in the decoder, {share}")
            strip = Strip("own", "", (card,), scale=Scale(told(how, target), "0", ""))
            heat(strip, config, view, "query", key="heat-query", pictures=pictures)
    with shares:
        st.markdown("**Of whom is its answer made?**")
        bars(share_bars(result), key="shares", about="Attention shares of Eq. 13")
    if of_the_data(query):
        path = records[chosen].path.as_posix() if chosen is not None else ""
        add_button(
            Item(query.name),
            trace.settings,
            FigureKind.DECODER_MAPS,
            what="heat maps",
            key="-maps",
            gallery=path,
            maps=how,
        )
    _maps(space, query, found, how, chosen, view)


@st.fragment(key=MAPS)
def _maps(space: Workspace, query: Query, found: Found, how: MapSettings, chosen: int | None, view: str) -> None:
    """Has the maps computed in the background, so that no dial waits for them. The browser asks for this alone."""
    feed("heat", view, prefetch.heat(space, query, found, how, chosen, visitor.current()), MAPS)


def _about_target(space: Workspace, found: Found, how: MapSettings) -> str:
    """An identity is one of those that the classifier was trained on: said wherever its logit is explained."""
    if how.target is not MapTarget.IDENTITY or how.method not in TARGETED:
        return ""
    index = explained_index(space.retriever, found.trace, how)
    feature = torch.from_numpy(found.trace.consolidation.feature).to(space.device)
    logit = float(decoder_target(space.retriever, found.trace, how)(feature))
    known = space.retriever.model.config.identities
    return (
        f"Training identity {index} of {known} has the largest logit, {logit:.2f}: a person of the training data, whom "
        "this gallery need not show."
    )
