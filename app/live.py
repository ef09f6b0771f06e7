"""What the browser needs to redraw without asking: plain JSON values made from core results."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from app.components.patchgrid import packed
from app.strips import MARKS, SPOKEN, Subject, camera_name, tone_of, who
from fpc_core.config import QuerySettings
from fpc_core.data.datasets import ImageRecord
from fpc_core.explain.masks import survivors
from fpc_core.matching.ranking import swap_alphas
from fpc_core.results import Encoding, Match, QueryTrace


def view_key(digest: str, settings: QuerySettings) -> str:
    """Names a query and every setting but the three on the dials: answers of one key may be mixed in one view.

    digest: of the query image and its camera.
    """
    usual = QuerySettings()
    fixed = replace(settings, alpha=usual.alpha, neighbors=usual.neighbors).with_keep_rate(usual.prune.keep_rate)
    return hashlib.sha256(f"{digest} {fixed}".encode()).hexdigest()[:16]


def answer_data(
    trace: QueryTrace, key: str, records: Sequence[ImageRecord], subject: Subject, uses_cameras: bool, top: int
) -> dict[str, Any]:
    """The server's answer for one setting of the dials. key: `view_key`.  top: see `match_data`."""
    return {
        "key": key,
        "gamma": trace.settings.prune.keep_rate,
        "alpha": trace.settings.alpha,
        "k": trace.settings.neighbors,
        "match": match_data(trace.encoding, trace.match, top),
        "people": people_data(trace.match.shortlist.indices.tolist(), records, subject, uses_cameras),
    }


def match_data(encoding: Encoding, match: Match, top: int) -> dict[str, Any]:
    """Everything that the strips, the masks and the alpha lines draw at one keep rate.

    swaps: [alpha, place, place] of every swap within the first `top` ranks.  survived: per patch of the grid, how many
    dropping blocks it left alive.
    """
    d_cos, d_emd = match.shortlist.d_cos, match.transport.distance
    survived = np.stack(survivors(encoding)).sum(axis=0)
    return {
        "indices": match.shortlist.indices.tolist(),
        "dCos": packed(d_cos),
        "dEmd": packed(d_emd),
        "swaps": [[swap.alpha, swap.first, swap.second] for swap in swap_alphas(d_cos, d_emd, top)],
        "survived": survived.ravel().tolist(),
    }


def people_data(
    rows: Iterable[int], records: Sequence[ImageRecord], subject: Subject, uses_cameras: bool
) -> dict[str, Mapping[str, str]]:
    """Who the rows of the memory show and how the query's evaluation sees them."""
    people: dict[str, Mapping[str, str]] = {}
    for row in rows:
        record = records[row]
        tone = tone_of(record, subject, uses_cameras)
        people[str(row)] = {
            "image": f"g{row}",
            "tone": tone.value,
            "mark": MARKS[tone],
            "line": f"id {record.identity} · cam {camera_name(record.camera)}",
            "about": f"{SPOKEN[tone]}, {who(record)}",
        }
    return people
