"""What a gallery image is to a query: a true match, another person, or junk."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fpc_core.data.datasets import ImageRecord


class MatchLabel(StrEnum):
    """Label of a gallery image. Every label but NEUTRAL also has a mark, so that colour is never the only cue."""

    MATCH = "match"
    OTHER = "other"
    JUNK = "junk"
    NEUTRAL = "neutral"


MARKS = {MatchLabel.MATCH: "✓", MatchLabel.OTHER: "✗", MatchLabel.JUNK: "–", MatchLabel.NEUTRAL: ""}


@dataclass(frozen=True)
class QueryIdentity:
    """Identity and camera of a query, where they are known; an upload has neither."""

    identity: int | None = None
    camera: int | None = None


def match_label(record: ImageRecord, subject: QueryIdentity, uses_cameras: bool) -> MatchLabel:
    """Return the label of a gallery image by the junk rule: the same identity seen by the same camera does not count.

    Args:
        record: The gallery image.
        subject: Identity and camera of the query.
        uses_cameras: Whether the dataset has camera numbers.
    """
    if subject.identity is None:
        return MatchLabel.NEUTRAL
    if record.identity != subject.identity:
        return MatchLabel.OTHER
    return MatchLabel.JUNK if uses_cameras and record.camera == subject.camera else MatchLabel.MATCH
