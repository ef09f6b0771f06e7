"""Label gallery images for a query as true match, other person or junk."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fpc_core.data.datasets import ImageRecord


class MatchLabel(StrEnum):
    """Label of a gallery image; NEUTRAL means that the query's identity is unknown.

    All labels except NEUTRAL also have a mark (see `MARKS`), so that colour is never the only cue.
    """

    MATCH = "match"
    OTHER = "other"
    JUNK = "junk"
    NEUTRAL = "neutral"


MARKS = {MatchLabel.MATCH: "✓", MatchLabel.OTHER: "✗", MatchLabel.JUNK: "–", MatchLabel.NEUTRAL: ""}


@dataclass(frozen=True)
class QueryIdentity:
    """Identity and camera of a query; None if unknown, as for an uploaded image."""

    identity: int | None = None
    camera: int | None = None


def match_label(record: ImageRecord, subject: QueryIdentity, uses_cameras: bool) -> MatchLabel:
    """Return the label of a gallery image; an image with the query's identity and camera is junk.

    Args:
        record: Record of the gallery image.
        subject: Identity and camera of the query.
        uses_cameras: Whether the dataset has camera numbers.
    """
    if subject.identity is None:
        return MatchLabel.NEUTRAL
    if record.identity != subject.identity:
        return MatchLabel.OTHER
    return MatchLabel.JUNK if uses_cameras and record.camera == subject.camera else MatchLabel.MATCH
