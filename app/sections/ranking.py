"""Sections that show the results of a query: masks, ranked strips and alpha chart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from app.components.alpha_chart import alpha_chart
from app.components.image_store import image_store
from app.components.job_result import job_result
from app.components.live_payload import answer_data, view_key
from app.components.masks import drop_story, masks
from app.components.ranking import ranking
from app.sections import by_hand, prefetch
from app.server import resources
from app.server.search import Query, SearchResult
from app.session.visitor import current_visitor
from fpc_core.config import DropStrategy, QuerySettings
from fpc_core.data.browser_encoding import data_uri
from fpc_core.data.match_rule import MatchRule
from fpc_core.explain.cards import MatchLabel, Strip, distances_of, match_label, ranked_strip
from fpc_core.explain.patch_contents import patch_areas
from fpc_core.workspace import Workspace

SHOWN = 10  # Number of hits per strip.
KEEP_RATES = "keep-rates"  # Key of the fragment that searches at every keep rate.


def render_masks(
    workspace: Workspace, query: Query, settings: QuerySettings, width: str, on_paint: Callable[[str], None]
) -> None:
    """Render the query after every pruning layer, and a sentence on the dropped patches.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        settings: Query settings.
        width: Width of a mask, as a CSS length.
        on_paint: Callback that receives the query parameter of the patches that the visitor drops by hand.
    """
    config = workspace.retriever.model.config
    truth = resources.masks(workspace).get(Path(query.name))
    areas = None if truth is None else patch_areas(truth, config)
    masks(
        data_uri(query.image),
        config,
        settings.prune.blocks,
        view_key(query.digest, settings),
        key="masks",
        story=drop_story(settings.prune.strategy, areas),
        compact=True,
        width=width,
        painter=by_hand.painter(workspace, query, settings, on_paint),
    )


@st.fragment(key=KEEP_RATES)
def keep_rates(workspace: Workspace, query: Query, settings: QuerySettings, chosen: int | None) -> None:
    """Search at every keep rate in the background and send the results to the browser.

    Call it after all other sections, so that they are not delayed.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        settings: Query settings.
        chosen: Gallery row of the selected hit, whose transport plans are computed too; or None.
    """
    if settings.prune.strategy is DropStrategy.GIVEN:
        return  # The keep rate has no effect.
    visitor = current_visitor()
    view = view_key(query.digest, settings)
    grid = prefetch.keep_rate_grid(workspace, query, settings, visitor, SHOWN)
    job_result("grid", view, grid, KEEP_RATES)
    if grid.finished and not grid.error and chosen is not None:
        pairs = prefetch.keep_rate_pairs(workspace, query, settings, visitor, chosen)
        job_result("pairs", f"{view} row {chosen}", pairs, KEEP_RATES)


def render_ranking(
    workspace: Workspace,
    query: Query,
    result: SearchResult,
    requested: int | None,
    show_junk: bool,
    on_pick: Callable[[str], None],
    width: str,
) -> int | None:
    """Render the strips of the three rankings.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        result: Result of the search.
        requested: Gallery row of the selected hit in the link, or None.
        show_junk: Whether junk images are shown.
        on_pick: Callback that receives the gallery row of a clicked card.
        width: Width of a card, as a CSS length.

    Returns:
        Gallery row of the selected hit, or None if there is none to select.
    """
    trace, records = result.trace, workspace.retriever.memory.records
    uses_cameras = workspace.dataset.excludes_own_camera

    def consolidated(chosen: int | None) -> Strip:
        decoder = frozenset(trace.consolidation.neighbors.tolist())
        before = MatchRule(records, query.subject, uses_cameras).ranks(trace.by_distance)
        return ranked_strip(
            "final",
            f"3. Final ranking after feature consolidation (K = {len(decoder)})",
            trace.final,
            records,
            query.subject,
            symbol="final",
            parts=distances_of(trace.match, trace.settings.alpha),
            uses_cameras=uses_cameras,
            show=SHOWN,
            show_junk=show_junk,
            decoder=decoder,
            chosen=chosen,
            before=before,
        )

    final = consolidated(requested)
    by_distance = trace.by_distance.indices.tolist()
    if requested in by_distance or str(requested) in {card.id for card in final.cards}:
        chosen = requested
    else:
        tones = {row: match_label(records[row], query.subject, uses_cameras) for row in by_distance}
        chosen = next((row for row in by_distance if show_junk or tones[row] is not MatchLabel.JUNK), None)
        final = consolidated(chosen)
    key = view_key(query.digest, trace.settings)
    answer = answer_data(trace, key, records, query.subject, uses_cameras, SHOWN)
    shown = (int(card.id) for card in final.cards)
    # These rows do not depend on alpha, so their images are sent only once while alpha changes.
    in_sight = set(answer["match"]["in_sight"])
    others = {*shown, *trace.consolidation.neighbors.tolist()} - in_sight
    for name, rows in (("image-store", in_sight), ("image-store-final", others)):
        image_store({f"g{row}": resources.thumbnail(workspace, records[row]) for row in sorted(rows)}, key=name)
    ranking(
        answer,
        final,
        key="ranking",
        show=SHOWN,
        junk=show_junk,
        chosen=chosen,
        on_pick=on_pick,
        compact=True,
        width=width,
    )
    return chosen


def render_alpha_chart(chosen: int | None, show_junk: bool) -> None:
    alpha_chart(key="alpha-chart", top=SHOWN, junk=show_junk, chosen=chosen)
    st.caption(
        f"Distance D of every shortlisted image as α varies. The top {SHOWN} are highlighted. The thick line "
        "is the selected image. Click to set α; click a circle to jump to the value where two images swap."
    )
