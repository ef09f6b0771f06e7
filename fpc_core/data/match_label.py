"""What a gallery image is to a query: a match, another person, or junk."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fpc_core.data.datasets import ImageRecord


class Tone(StrEnum):
    """What a border says; every tone but NEUTRAL also has a mark, so that colour never stands alone."""

    MATCH = "match"
    OTHER = "other"
    JUNK = "junk"
    NEUTRAL = "neutral"


MARKS = {Tone.MATCH: "✓", Tone.OTHER: "✗", Tone.JUNK: "–", Tone.NEUTRAL: ""}


@dataclass(frozen=True)
class Subject:
    """Who the query shows, where that is known; an upload has neither identity nor camera."""

    identity: int | None = None
    camera: int | None = None


def tone_of(record: ImageRecord, subject: Subject, uses_cameras: bool) -> Tone:
    """The junk rule of the evaluation: same identity under the same camera says nothing about retrieval."""
    if subject.identity is None:
        return Tone.NEUTRAL
    if record.identity != subject.identity:
        return Tone.OTHER
    return Tone.JUNK if uses_cameras and record.camera == subject.camera else Tone.MATCH
