"""What a gallery image is to a query: a match, another person, or junk."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fpc_core.data.datasets import ImageRecord


class MatchLabel(StrEnum):
    """What a border says; every tone but NEUTRAL also has a mark, so that colour never stands alone."""

    MATCH = "match"
    OTHER = "other"
    JUNK = "junk"
    NEUTRAL = "neutral"


MARKS = {MatchLabel.MATCH: "✓", MatchLabel.OTHER: "✗", MatchLabel.JUNK: "–", MatchLabel.NEUTRAL: ""}


@dataclass(frozen=True)
class QueryIdentity:
    """Who the query shows, where that is known; an upload has neither identity nor camera."""

    identity: int | None = None
    camera: int | None = None


def match_label(record: ImageRecord, subject: QueryIdentity, uses_cameras: bool) -> MatchLabel:
    """The junk rule of the evaluation: same identity under the same camera says nothing about retrieval."""
    if subject.identity is None:
        return MatchLabel.NEUTRAL
    if record.identity != subject.identity:
        return MatchLabel.OTHER
    return MatchLabel.JUNK if uses_cameras and record.camera == subject.camera else MatchLabel.MATCH
