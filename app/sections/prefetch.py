"""Background jobs that compute what a visitor will probably need next, and fill the caches of `search`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from app.components.heat_strip import heat_data
from app.components.live_payload import grid_data, view_key
from app.components.transport import pair_data
from app.server import resources, search
from app.server.job_worker import Job, Steps
from app.server.search import Query, SearchResult
from app.session.view import keep_rates
from fpc_core.config import MapSettings, QuerySettings
from fpc_core.workspace import Workspace


def keep_rate_grid(workspace: Workspace, query: Query, settings: QuerySettings, visitor: str, show: int) -> Job:
    """Start the job that searches at every keep rate of the slider. Its result is that of `grid_data`, with images.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        settings: Query settings; the keep rate is replaced.
        visitor: Name of the visitor, whose next query cancels this job.
        show: Number of ranked images per strip.
    """
    key = view_key(query.digest, settings)

    def steps() -> Steps:
        matched = {}
        for settings_at_rate in _at_all_keep_rates(settings):
            matching = search.matching(workspace, query, settings_at_rate)
            matched[settings_at_rate.prune.keep_rate] = (matching.encoded.encoding, matching.match)
            yield
        records = workspace.retriever.memory.records
        data = grid_data(key, matched, records, query.subject, workspace.dataset.excludes_own_camera, show)
        rows = {row for _, match in data["matches"] for row in match["in_sight"]}
        return data | {"images": {f"g{row}": resources.thumbnail(workspace, records[row]) for row in sorted(rows)}}

    return resources.prefetch_worker().submit(f"{visitor} grid", f"{key} {show}", len(keep_rates()), steps)


def keep_rate_pairs(workspace: Workspace, query: Query, settings: QuerySettings, visitor: str, row: int) -> Job:
    """Start the job that computes the transport plan to a gallery image at every keep rate of the slider.

    Keep rates at which the image is not shortlisted are skipped. The result is
    {key, pairs: [[keep rate, `pair_data` with its row], ...]}.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        settings: Query settings; the keep rate is replaced.
        visitor: Name of the visitor, whose next query or hit cancels this job.
        row: Gallery row of the image.
    """
    key = view_key(query.digest, settings)

    def steps() -> Steps:
        pairs = []
        for settings_at_rate in _at_all_keep_rates(settings):
            matching = search.matching(workspace, query, settings_at_rate)
            if row in matching.match.shortlist:
                position = matching.match.shortlist.position(row)
                plan = workspace.retriever.plan(matching.encoded.encoding, matching.match, position, settings_at_rate)
                pair = pair_data(plan, matching.match.transport, position) | {"row": row}
                pairs.append([settings_at_rate.prune.keep_rate, pair])
            yield
        return {"key": key, "pairs": pairs}

    return resources.prefetch_worker().submit(f"{visitor} pairs", f"{key} row {row}", len(keep_rates()), steps)


def heat_key(query: Query, settings: QuerySettings, maps: MapSettings, chosen: int | None) -> str:
    """Return a key for heat maps.

    Args:
        query: Query image.
        settings: Query settings.
        maps: Settings of the heat maps.
        chosen: Gallery row of the selected hit, or None.
    """
    return hashlib.sha256(f"{query.digest} {settings} {maps} {chosen}".encode()).hexdigest()[:16]


def heat(
    workspace: Workspace, query: Query, result: SearchResult, maps: MapSettings, chosen: int | None, visitor: str
) -> Job:
    """Start the job that computes heat maps. The visitor's next view cancels it.

    The result is {key, parts: {name: `heat_data`}} with the `heat_key`. The parts "neighbors" and "query" are the
    decoder's maps on a common scale. If a hit is selected, the part "encoder" shows which query patches make the
    query similar to it.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        result: Result of the search.
        maps: Settings of the heat maps.
        chosen: Gallery row of the selected hit, or None.
        visitor: Name of the visitor.
    """
    trace = result.trace
    key = heat_key(query, trace.settings, maps, chosen)

    def steps() -> Steps:
        yield
        decoder = search.decoder_map(workspace, query, trace, trace.settings, maps)
        parts = {
            "neighbors": heat_data(decoder.neighbor_grids, decoder.peak),
            "query": heat_data(decoder.query_grid, decoder.peak),
        }
        if chosen is not None:
            encoder = search.encoder_map(workspace, query, trace.settings.prune, maps.of_encoder(chosen))
            parts["encoder"] = heat_data(encoder.query_grid, encoder.peak)
        return {"key": key, "parts": parts}

    return resources.prefetch_worker().submit(f"{visitor} heat", f"heat {key}", 1, steps)


def _at_all_keep_rates(settings: QuerySettings) -> Iterator[QuerySettings]:
    return (settings.with_keep_rate(rate) for rate in keep_rates())
