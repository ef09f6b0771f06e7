"""What is computed in the background before anybody asks for it, into the caches that a question looks into."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from app.components.heat_strip import heat_data
from app.components.live_payload import grid_data, view_key
from app.components.transport import pair_data
from app.server import resources, search
from app.server.search import Query, SearchResult
from app.server.worker import Job, Steps
from app.session.view import keep_rates
from fpc_core.config import MapSettings, QuerySettings
from fpc_core.workspace import Workspace


def keep_rate_grid(workspace: Workspace, query: Query, settings: QuerySettings, visitor: str, show: int) -> Job:
    """The background job that ends in `live.grid_data` of this query at every keep rate of the dial.

    What it computes lies in the caches of `search` as well: a keep rate of the grid is answered from there.
    visitor: who asks; a visitor's next query ends this one.  show: see `live.match_data`.
    """
    key = view_key(query.digest, settings)

    def steps() -> Steps:
        matched = {}
        for moved in _moved(settings):
            found = search.matching(workspace, query, moved)
            matched[moved.prune.keep_rate] = (found.encoded.encoding, found.match)
            yield
        records = workspace.retriever.memory.records
        data = grid_data(key, matched, records, query.subject, workspace.dataset.uses_cameras, show)
        rows = {row for _, match in data["matches"] for row in match["in_sight"]}
        return data | {"images": {f"g{row}": resources.thumbnail(workspace, records[row]) for row in sorted(rows)}}

    return resources.prefetch_worker().submit(f"{visitor} grid", f"{key} {show}", len(keep_rates()), steps)


def keep_rate_pairs(workspace: Workspace, query: Query, settings: QuerySettings, visitor: str, row: int) -> Job:
    """The background job that ends in the transport to memory row `row` at every keep rate that shortlists it.

    Its result: {key, pairs: [[keep rate, `pair_data` and its row], ...]}.
    """
    key = view_key(query.digest, settings)

    def steps() -> Steps:
        pairs = []
        for moved in _moved(settings):
            found = search.matching(workspace, query, moved)
            if row in found.match.shortlist:
                place = found.match.shortlist.position(row)
                plan = workspace.retriever.plan(found.encoded.encoding, found.match, place, moved)
                pair = pair_data(plan, found.match.transport, place) | {"row": row}
                pairs.append([moved.prune.keep_rate, pair])
            yield
        return {"key": key, "pairs": pairs}

    return resources.prefetch_worker().submit(f"{visitor} pairs", f"{key} row {row}", len(keep_rates()), steps)


def heat_key(query: Query, settings: QuerySettings, how: MapSettings, chosen: int | None) -> str:
    """What heat maps belong to: the query, all settings, and the neighbour that the query is compared with."""
    return hashlib.sha256(f"{query.digest} {settings} {how} {chosen}".encode()).hexdigest()[:16]


def encoder_map_settings(how: MapSettings, chosen: int) -> MapSettings:
    """The encoder's map beside a decoder's: the same method, for the similarity to memory row `chosen`."""
    return MapSettings(how.method, index=chosen, relative=how.relative)


def heat(
    workspace: Workspace, query: Query, found: SearchResult, how: MapSettings, chosen: int | None, visitor: str
) -> Job:
    """The background job that ends in {key, parts: {name: `heat_data`}}, its key `heat_key`; a next view ends it.

    neighbors, query: the decoder's map of both, on one scale.  encoder: by the same method, which query patches make
    the query similar to the memory row `chosen`; not there without one.
    """
    trace = found.trace
    key = heat_key(query, trace.settings, how, chosen)

    def steps() -> Steps:
        yield
        decoder = search.decoder_map(workspace, query, trace, trace.settings, how)
        parts = {
            "neighbors": heat_data(decoder.neighbor_grids, decoder.peak),
            "query": heat_data(decoder.query_grid, decoder.peak),
        }
        if chosen is not None:
            encoder = search.encoder_map(workspace, query, trace.settings.prune, encoder_map_settings(how, chosen))
            parts["encoder"] = heat_data(encoder.query_grid, encoder.peak)
        return {"key": key, "parts": parts}

    return resources.prefetch_worker().submit(f"{visitor} heat", f"heat {key}", 1, steps)


def _moved(settings: QuerySettings) -> Iterator[QuerySettings]:
    return (settings.with_keep_rate(rate) for rate in keep_rates())
