"""Render the report as one HTML file without external resources."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from fpc_core.config import MapSettings, MapTarget, QuerySettings
from fpc_core.explain.heatmap_methods import DESCRIPTIONS, TARGETED, colorbar_label, map_target
from fpc_core.report.collect import RANKINGS, Explained
from fpc_core.report.metadata import PAGES, RAMP, About, creation_facts, search_facts
from fpc_core.report.sources import Refused, Sources
from fpc_core.workspace import Workspace


def about(workspace: Workspace, sources: Sources, settings: QuerySettings, how: MapSettings, made: datetime) -> About:
    """Return the header of a report.

    Args:
        workspace: Data and weights.
        sources: Images of the report.
        settings: Settings of the searches.
        how: Settings of the heat maps.
        made: Time of creation, with time zone.
    """
    dataset, method = (
        workspace.dataset,
        colorbar_label(how, map_target(how, workspace.retriever.model.config.identities)),
    )
    maps = f"{method}. {DESCRIPTIONS[how.method]}"
    if how.target is MapTarget.IDENTITY and how.method in TARGETED:
        maps += " Training identities are people of the training data; they may not appear in the gallery."
    queries = f"{sources.title}: {len(sources.images)}" + (f", {sources.more} more left out" if sources.more else "")
    facts = (
        {"Queries": queries} | search_facts(workspace, settings) | {"Heat maps": maps} | creation_facts(workspace, made)
    )
    return About(sources.title, dataset.synthetic, dataset.note, tuple(facts.items()))


def render(head: About, queries: Sequence[Explained], refused: Sequence[Refused]) -> str:
    """Render the report as HTML that is also well-formed XML, with all names escaped.

    Args:
        head: Header of the report.
        queries: Results of the images.
        refused: Files that could not be read.
    """
    known = [query.first_match for query in queries if query.first_match]
    return PAGES.get_template("page.html.jinja").render(
        about=head,
        queries=queries,
        refused=refused,
        known=len(known),
        right={name: sum(ranks[name] == 1 for ranks in known) for name in RANKINGS.values()},
        ramp=RAMP,
    )
