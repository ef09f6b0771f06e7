"""Convert core results to JSON data from which the browser redraws live views without the server."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fpc_core.config import DropStrategy, QuerySettings
from fpc_core.data.browser_encoding import encode_float32
from fpc_core.data.datasets import ImageRecord
from fpc_core.explain.cards import ALT_TEXT, MARKS, MatchLabel, QueryIdentity, identity_label, match_label, person_line
from fpc_core.explain.masks import survivors
from fpc_core.matching.ranking import swap_alphas
from fpc_core.results import Encoding, Match, QueryTrace


def view_key(digest: str, settings: QuerySettings) -> str:
    """Return a key for a query and all settings except those of live sliders.

    The browser combines only data with the same key in a view.

    Args:
        digest: Digest of the query image, its camera and the workspace.
        settings: Query settings; keep rate, alpha and K are ignored.
    """
    default = QuerySettings()
    fixed = replace(settings, alpha=default.alpha, neighbors=1).with_keep_rate(default.prune.keep_rate)
    return hashlib.sha256(f"{digest} {fixed}".encode()).hexdigest()[:16]


def answer_data(
    trace: QueryTrace, key: str, records: Sequence[ImageRecord], subject: QueryIdentity, uses_cameras: bool, show: int
) -> dict[str, Any]:
    """Return the server's answer for the current values of the sliders.

    Args:
        trace: Results of the search.
        key: Key of the view, from `view_key`.
        records: Records of the gallery memory.
        subject: Identity and camera of the query.
        uses_cameras: Whether cameras decide which images are junk.
        show: Number of ranked images per strip.
    """
    people = people_data(trace.match.shortlist.indices.tolist(), records, subject, uses_cameras)
    return {
        "key": key,
        "byHand": trace.settings.prune.strategy is DropStrategy.GIVEN,
        "gamma": trace.settings.prune.keep_rate,
        "alpha": trace.settings.alpha,
        "k": trace.settings.neighbors,
        "match": match_data(trace.encoding, trace.match, people, show),
        "people": people,
    }


def grid_data(
    key: str,
    matched: Mapping[float, tuple[Encoding, Match]],
    records: Sequence[ImageRecord],
    subject: QueryIdentity,
    uses_cameras: bool,
    show: int,
) -> dict[str, Any]:
    """Return the results at several keep rates, as [keep rate, `match_data`] pairs and `people_data` of all rows.

    Args:
        key: Key of the view, from `view_key`.
        matched: Encoding and match by keep rate.
        records: Records of the gallery memory.
        subject: Identity and camera of the query.
        uses_cameras: Whether cameras decide which images are junk.
        show: Number of ranked images per strip.
    """
    rows = sorted({row for _, match in matched.values() for row in match.shortlist.indices.tolist()})
    people = people_data(rows, records, subject, uses_cameras)
    matches = [[rate, match_data(*match, people, show)] for rate, match in matched.items()]
    return {"key": key, "matches": matches, "people": people}


def match_data(encoding: Encoding, match: Match, people: Mapping[str, Mapping[str, str]], show: int) -> dict[str, Any]:
    """Return the data from which the browser draws strips, masks and the alpha chart at one keep rate.

    In the result, `swaps` has [alpha, position, position] for every swap among the shown hits, and `in_sight` lists
    the gallery rows that are shown at some alpha.

    Args:
        encoding: Encoding of the query.
        match: Shortlist and transport of the query.
        people: Result of `people_data` for the shortlist.
        show: Number of ranked images per strip. Junk images, which have no rank, can be shown between them.
    """
    rows = match.shortlist.indices.tolist()
    reach = show + sum(people[str(row)]["tone"] == MatchLabel.JUNK for row in rows)
    d_cos, d_emd = match.shortlist.d_cos, match.transport.distance
    swaps = swap_alphas(d_cos, d_emd, reach)
    # The first images at alpha 0 are the first by cosine. At other alphas, images join them only through these swaps.
    positions = {*range(min(reach, len(rows)))}.union(*((swap.first, swap.second) for swap in swaps))
    return {
        "indices": rows,
        "dCos": encode_float32(d_cos),
        "dEmd": encode_float32(d_emd),
        "swaps": [[swap.alpha, swap.first, swap.second] for swap in swaps],
        "in_sight": sorted(rows[position] for position in positions),
        "survived": survived(encoding),
    }


def survived(encoding: Encoding) -> list[int]:
    """Return how many dropping blocks each patch of the grid survived."""
    return np.stack(survivors(encoding)).sum(axis=0).ravel().tolist()


def people_data(
    rows: Iterable[int], records: Sequence[ImageRecord], subject: QueryIdentity, uses_cameras: bool
) -> dict[str, Mapping[str, str]]:
    """Return texts about gallery images by row: identity, camera, and whether the image matches the query.

    Args:
        rows: Gallery rows of the images.
        records: Records of the gallery memory.
        subject: Identity and camera of the query.
        uses_cameras: Whether cameras decide which images are junk.
    """
    people: dict[str, Mapping[str, str]] = {}
    for row in rows:
        record = records[row]
        tone = match_label(record, subject, uses_cameras)
        people[str(row)] = {
            "image": f"g{row}",
            "tone": tone.value,
            "mark": MARKS[tone],
            "line": person_line(record),
            "about": f"{ALT_TEXT[tone]}, {identity_label(record)}",
        }
    return people
