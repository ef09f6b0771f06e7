"""Sections for dropping patches by hand, and for comparing the visitor's mask with the model's and the ground truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from app.components.cards import cards
from app.components.live_payload import survived
from app.components.masks import Painter
from app.sections.summary import lesson_markdown
from app.server import resources, search
from app.server.search import Query
from app.session import given_patches
from app.session.display import pruned_style
from fpc_core.config import DropStrategy, PruneSettings, QuerySettings
from fpc_core.data.browser_encoding import data_uri
from fpc_core.data.match_label import MatchLabel
from fpc_core.data.match_rule import MatchRule
from fpc_core.explain.cards import Card, Strip
from fpc_core.explain.mask_comparison import (
    MODEL,
    TRUTH,
    YOURS,
    MaskOutcome,
    best_mask_sentence,
    mask_outcomes,
    overlap,
)
from fpc_core.explain.masks import dropped_patches
from fpc_core.explain.overlay import mark_dropped
from fpc_core.explain.patch_contents import patch_areas
from fpc_core.workspace import Workspace

_IS_MATCH = {MatchLabel.MATCH: True, MatchLabel.OTHER: False}
_HEADS = {MODEL: "Model", YOURS: "You", TRUTH: "Ground truth"}


def painter(workspace: Workspace, query: Query, settings: QuerySettings, on_paint: Callable[[str], None]) -> Painter:
    """Return the state and callback of the editor with which the visitor drops patches on the masks.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        settings: Query settings.
        on_paint: Callback that receives the visitor's choice as a query parameter, empty for the model's choice.
    """
    prune = settings.prune

    def painted(counts: str) -> None:
        given = given_patches.from_survived(counts, len(prune.blocks))
        on_paint(given_patches.to_param(prune.of_model.with_given(given)) if counts else "")

    if prune.strategy is not DropStrategy.GIVEN:
        return Painter(None, None, painted)
    mine, model = (survived(search.encoding(workspace, query, each)) for each in (prune, prune.of_model))
    return Painter(mine, model, painted)


def compare_masks(
    workspace: Workspace, query: Query, settings: QuerySettings, hit: int | None, *, truth: bool = True
) -> tuple[MaskOutcome, ...]:
    """Search with the masks of the model, the visitor and the ground truth, if these exist, and return the outcomes.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        settings: Query settings, with the visitor's mask if there is one.
        hit: Gallery row of the selected hit, or None.
        truth: Whether the ground truth describes the image; it does not if occluders were added.
    """
    mask = resources.masks(workspace).get(Path(query.name)) if truth else None
    return mask_outcomes(
        lambda prune: search.search(workspace, query, replace(settings, prune=prune)).trace,
        settings.prune,
        None if mask is None else patch_areas(mask, workspace.retriever.model.config)[1],
        _rule(workspace, query),
        hit,
    )


def render_start(workspace: Workspace, query: Query, prune: PruneSettings, on_start: Callable[[str], None]) -> None:
    """Render a button that starts pruning by hand. Render nothing if the visitor already prunes by hand.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        prune: Pruning settings.
        on_start: Callback that receives the initial mask as a query parameter.
    """
    if prune.strategy is DropStrategy.GIVEN:
        return
    st.markdown("Which patches would you drop? Start from the model's choice and draw on the masks to change it.")
    start = given_patches.to_param(prune.with_given(dropped_patches(search.encoding(workspace, query, prune))))
    st.button("Prune by hand", key="start-by-hand", icon=":material/draw:", on_click=on_start, args=(start,))


def render_comparison(
    workspace: Workspace,
    query: Query,
    settings: QuerySettings,
    hit: int | None,
    *,
    truth: bool = True,
    compact: bool = False,
) -> None:
    """Render the masks of a query side by side, with their ranks, D and overlap.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        settings: Query settings, with the visitor's mask if there is one.
        hit: Gallery row of the selected hit, or None.
        truth: Whether the ground truth describes the image; it does not if occluders were added.
        compact: Whether only the table is rendered.
    """
    outcomes = compare_masks(workspace, query, settings, hit, truth=truth)
    if len(outcomes) > 1 and not compact:
        is_match = None if hit is None else _IS_MATCH.get(_rule(workspace, query).label(hit))
        st.markdown(lesson_markdown(best_mask_sentence(outcomes, is_match)))
    if not compact:
        _render_images(workspace, query, outcomes)
    st.table(_table(outcomes))
    notes = [
        "IoU: overlap of the dropped patches." if len(outcomes) > 1 else "",
        "Ground truth: drops patches that are mostly occluder."
        if any(each.name == TRUTH for each in outcomes)
        else "There is no ground truth for this image.",
    ]
    st.caption(" ".join(filter(None, notes)))


def _rule(workspace: Workspace, query: Query) -> MatchRule:
    return MatchRule(workspace.retriever.memory.records, query.subject, workspace.dataset.excludes_own_camera)


def _render_images(workspace: Workspace, query: Query, outcomes: tuple[MaskOutcome, ...]) -> None:
    config, images, strip_cards = workspace.retriever.model.config, {}, []
    for each in outcomes:
        alive = np.ones(config.patches, dtype=bool)
        alive[list(each.dropped)] = False
        marked = mark_dropped(query.image, alive.reshape(config.grid), config, pruned_style())
        images[each.name] = data_uri(marked, lossless=True)
        lines = (f"{len(each.dropped)} dropped",)
        alt = f"{_HEADS[each.name]}: {len(each.dropped)} of {config.patches} patches are dropped"
        strip_cards.append(Card(each.name, each.name, _HEADS[each.name], lines, alt=alt))
    cards([Strip("compared-masks", "", tuple(strip_cards))], images, key="compared-masks", width="74px")


def _table(outcomes: tuple[MaskOutcome, ...]) -> pd.DataFrame:
    def whole(value: int | None, otherwise: str) -> str:
        return otherwise if value is None else str(value)

    rows = {
        "First correct image, final rank": [whole(each.final_rank, "–") for each in outcomes],
        "First correct image, rank by D": [whole(each.rank_by_distance, "not shortlisted") for each in outcomes],
        "D of the selected image": ["–" if each.distance is None else f"{each.distance:.4f}" for each in outcomes],
    }
    if len(outcomes) > 1:
        for other in outcomes:
            overlaps = (overlap(each.dropped, other.dropped) for each in outcomes)
            rows[f"IoU with {other.name}"] = [f"{value:.0%}" for value in overlaps]
    return pd.DataFrame.from_dict(rows, orient="index", columns=[_HEADS[each.name] for each in outcomes])
