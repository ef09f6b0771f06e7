"""Heat maps of the decoder's neighbours and of the query, and the decoder's attention shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st
import torch

from app.components.bars import bars, share_bars
from app.components.heat_strip import heat_strip
from app.components.job_result import job_result
from app.sections import prefetch
from app.sections.save_panel import render_save
from app.sections.summary import lesson_markdown
from app.server.search import Query, SearchResult
from app.session.visitor import current_visitor
from app.ui import heatmap_controls
from fpc_core.config import MapSettings, MapTarget, Variant
from fpc_core.data.browser_encoding import data_uri
from fpc_core.data.match_rule import MatchRule
from fpc_core.explain.cards import Card, Scale, Strip, decoder_cards, identity_label
from fpc_core.explain.heatmap_methods import DESCRIPTIONS, TARGETED, colorbar_label, map_target
from fpc_core.explain.heatmap_targets import decoder_target, explained_index
from fpc_core.explain.sentences import decoder_sentence
from fpc_core.figures.recipe import FigureKind
from fpc_core.workspace import Workspace

MAPS = "maps"  # Key of the fragment that computes heat maps.


@dataclass(frozen=True, eq=False)
class _MapView:
    """Heat maps to show.

    Attributes:
        settings: Settings of the heat maps.
        view: Key of their data in the browser.
        target: Name of the value that they explain.
    """

    settings: MapSettings
    view: str
    target: str


def render_neighbor_maps(
    workspace: Workspace, query: Query, result: SearchResult, chosen: int | None, on_pick: Callable[[str], None]
) -> None:
    """Render what the decoder used from each neighbour, and its attention shares.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        result: Result of the search.
        chosen: Gallery row of the selected hit, or None.
        on_pick: Callback that receives the gallery row of a clicked neighbour.
    """
    trace, consolidation = result.trace, result.trace.consolidation
    config, records = workspace.retriever.model.config, workspace.retriever.memory.records
    ranks = MatchRule(records, query.subject, workspace.dataset.excludes_own_camera).ranks(trace.by_distance)
    st.markdown(lesson_markdown(decoder_sentence(consolidation, ranks)))
    bars(share_bars(consolidation), key="shares", about="Attention shares of Eq. 13")
    maps = _choose_maps(workspace, query, result, chosen)

    def pick(row: str) -> None:
        on_pick(row)
        st.rerun()

    cards = decoder_cards(consolidation, records, query.subject, workspace.dataset.excludes_own_camera, chosen)
    strip = Strip("heat", "", cards, scale=Scale(colorbar_label(maps.settings, maps.target), "0", ""))
    heat_strip(strip, config, maps.view, "neighbors", key="heat", on_pick=pick, columns=5, width="70px")
    st.caption(f"{DESCRIPTIONS[maps.settings.method]} {_target_note(workspace, result, maps.settings)}")
    render_save(workspace, query, trace.settings, FigureKind.DECODER_MAPS, chosen=chosen, maps=maps.settings)
    _compute_maps(workspace, query, result, maps.settings, chosen, maps.view)


def render_query_maps(workspace: Workspace, query: Query, result: SearchResult, chosen: int | None) -> None:
    """Render the query with a heat map of the encoder, and one of the decoder.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        result: Result of the search.
        chosen: Gallery row of the selected hit, or None.
    """
    trace, consolidation = result.trace, result.trace.consolidation
    config, records = workspace.retriever.model.config, workspace.retriever.memory.records
    maps = _choose_maps(workspace, query, result, chosen)
    images = {"query": data_uri(query.image)}
    encoder, own = st.columns(2, gap="small")
    if chosen is not None:
        with encoder:
            st.markdown("**Which patches make the query similar to the selected image?**")
            encoder_maps = maps.settings.of_encoder(chosen)
            label = colorbar_label(encoder_maps, f"1 − D_cos to {identity_label(records[chosen])}")
            lines = ("from the encoder's", "last layer")
            card = Card("encoder", "query", "Query", lines, alt="the query, as the encoder sees it")
            strip = Strip("encoder", "", (card,), scale=Scale(label, "0", ""))
            heat_strip(strip, config, maps.view, "encoder", key="heat-encoder", images=images, width="150px")
    with own:
        st.markdown("**What did the decoder use from the query?**")
        if trace.settings.variant is Variant.RELEASED:
            st.caption(
                "Nothing. The released code does not pass the query to the decoder. To include the query, choose the "
                'variant "paper".'
            )
        else:
            share = f"{consolidation.query_share:.1%} of attention"
            card = Card("own", "query", "Query", (share,), alt=f"the query in the decoder, {share}")
            strip = Strip("own", "", (card,), scale=Scale(colorbar_label(maps.settings, maps.target), "0", ""))
            heat_strip(strip, config, maps.view, "query", key="heat-query", images=images, width="150px")
    render_save(workspace, query, trace.settings, FigureKind.QUERY_MAPS, chosen=chosen, maps=maps.settings)
    _compute_maps(workspace, query, result, maps.settings, chosen, maps.view)


def _choose_maps(workspace: Workspace, query: Query, result: SearchResult, chosen: int | None) -> _MapView:
    """Render the widgets for the heat maps, and return which maps to show.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        result: Result of the search.
        chosen: Gallery row of the selected hit, or None.
    """
    settings = heatmap_controls.map_settings("", chosen, workspace.weights.knows_identities)
    target = map_target(settings, workspace.retriever.model.config.identities)
    if settings.target is MapTarget.SIMILARITY and settings.index is not None:
        target = f"the cosine to {identity_label(workspace.retriever.memory.records[settings.index])}"
    return _MapView(settings, prefetch.heat_key(query, result.trace.settings, settings, chosen), target)


@st.fragment(key=MAPS)
def _compute_maps(
    workspace: Workspace, query: Query, result: SearchResult, maps: MapSettings, chosen: int | None, view: str
) -> None:
    """Compute heat maps in the background, so that they do not delay sliders. The browser polls this fragment.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        result: Result of the search.
        maps: Settings of the heat maps.
        chosen: Gallery row of the selected hit, or None.
        view: Key of the heat maps, from `prefetch.heat_key`.
    """
    job_result("heat", view, prefetch.heat(workspace, query, result, maps, chosen, current_visitor()), MAPS)


def _target_note(workspace: Workspace, result: SearchResult, maps: MapSettings) -> str:
    """Return a sentence on the training identity that the map explains, or an empty string for other targets.

    Args:
        workspace: Workspace of the query.
        result: Result of the search.
        maps: Settings of the heat maps.
    """
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
