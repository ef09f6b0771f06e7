"""What the browser needs to redraw without asking: plain JSON values made from core results."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fpc_core.config import QuerySettings
from fpc_core.data.browser_encoding import encode_float32
from fpc_core.data.datasets import ImageRecord
from fpc_core.explain.cards import ALT_TEXT, MARKS, MatchLabel, QueryIdentity, camera_name, identity_label, match_label
from fpc_core.explain.masks import survivors
from fpc_core.matching.ranking import swap_alphas
from fpc_core.results import Encoding, Match, QueryTrace


def view_key(digest: str, settings: QuerySettings) -> str:
    """Names a query and every setting but the three on the dials: answers of one key may be mixed in one view.

    digest: of the query image and its camera.
    """
    usual = QuerySettings()
    fixed = replace(settings, alpha=usual.alpha, neighbors=1).with_keep_rate(usual.prune.keep_rate)
    return hashlib.sha256(f"{digest} {fixed}".encode()).hexdigest()[:16]


def answer_data(
    trace: QueryTrace, key: str, records: Sequence[ImageRecord], subject: QueryIdentity, uses_cameras: bool, show: int
) -> dict[str, Any]:
    """The server's answer for one setting of the dials. key: `view_key`.  show: see `match_data`."""
    people = people_data(trace.match.shortlist.indices.tolist(), records, subject, uses_cameras)
    return {
        "key": key,
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
    """The answers for all these keep rates: matches are [keep rate, `match_data`], people of all rows shortlisted."""
    rows = sorted({row for _, match in matched.values() for row in match.shortlist.indices.tolist()})
    people = people_data(rows, records, subject, uses_cameras)
    matches = [[rate, match_data(*found, people, show)] for rate, found in matched.items()]
    return {"key": key, "matches": matches, "people": people}


def match_data(encoding: Encoding, match: Match, people: Mapping[str, Mapping[str, str]], show: int) -> dict[str, Any]:
    """Everything that the strips, the masks and the alpha lines draw at one keep rate.

    people: `people_data` of the shortlist.  show: ranked images per strip; junk images, which take no rank, may stand
    between them.
    swaps: [alpha, place, place] of every swap among them.  in_sight: rows that are among them at some alpha.
    survived: per patch of the grid, how many dropping blocks it left alive.
    """
    rows = match.shortlist.indices.tolist()
    reach = show + sum(people[str(row)]["tone"] == MatchLabel.JUNK for row in rows)
    d_cos, d_emd = match.shortlist.d_cos, match.transport.distance
    swaps = swap_alphas(d_cos, d_emd, reach)
    # By cosine alone the first stand at alpha 0; whoever joins them later does so by one of the swaps.
    places = {*range(min(reach, len(rows)))}.union(*((swap.first, swap.second) for swap in swaps))
    return {
        "indices": rows,
        "dCos": encode_float32(d_cos),
        "dEmd": encode_float32(d_emd),
        "swaps": [[swap.alpha, swap.first, swap.second] for swap in swaps],
        "in_sight": sorted(rows[place] for place in places),
        "survived": survived(encoding),
    }


def survived(encoding: Encoding) -> list[int]:
    """Per patch of the grid, how many dropping blocks left it alive."""
    return np.stack(survivors(encoding)).sum(axis=0).ravel().tolist()


def people_data(
    rows: Iterable[int], records: Sequence[ImageRecord], subject: QueryIdentity, uses_cameras: bool
) -> dict[str, Mapping[str, str]]:
    """Who the rows of the memory show and how the query's evaluation sees them."""
    people: dict[str, Mapping[str, str]] = {}
    for row in rows:
        record = records[row]
        tone = match_label(record, subject, uses_cameras)
        people[str(row)] = {
            "image": f"g{row}",
            "tone": tone.value,
            "mark": MARKS[tone],
            "line": f"id {record.identity} · cam {camera_name(record.camera)}",
            "about": f"{ALT_TEXT[tone]}, {identity_label(record)}",
        }
    return people
