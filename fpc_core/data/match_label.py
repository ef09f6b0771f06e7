"""Label gallery images for a query as true match, other person or junk."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from fpc_core.data.datasets import Dataset, ImageRecord


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
    """Identity and camera of a query; None if unknown, as for an uploaded image.

    Attributes:
        identity: Number of the person.
        camera: 0-based camera.
        path: Path of the query if it is also a gallery image, which is then junk; otherwise None.
    """

    identity: int | None = None
    camera: int | None = None
    path: Path | None = field(default=None, compare=False)


def subject_of(record: ImageRecord, dataset: Dataset) -> QueryIdentity:
    """Return the identity and camera of a query, and its path if it is also a gallery image.

    Args:
        record: Record of the query.
        dataset: Dataset of the query.
    """
    own = record.path if record.path in dataset.own_rows else None
    return QueryIdentity(record.identity, record.camera, own)


def match_label(record: ImageRecord, subject: QueryIdentity, uses_cameras: bool) -> MatchLabel:
    """Return the label of a gallery image; the query itself and images with its identity and camera are junk.

    Args:
        record: Record of the gallery image.
        subject: Identity and camera of the query.
        uses_cameras: Whether the protocol excludes images with the query's identity and camera.
    """
    if subject.identity is None:
        return MatchLabel.NEUTRAL
    if subject.path is not None and record.path == subject.path:
        return MatchLabel.JUNK
    if record.identity != subject.identity:
        return MatchLabel.OTHER
    return MatchLabel.JUNK if uses_cameras and record.camera == subject.camera else MatchLabel.MATCH
