"""Determine which rows of the gallery memory are matches, other people or junk for one query."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fpc_core.data.datasets import ImageRecord
from fpc_core.data.match_label import MatchLabel, QueryIdentity, match_label
from fpc_core.results import Ranking


@dataclass(frozen=True)
class MatchRule:
    """Labels all gallery images for one query by the same rule as the evaluation.

    Attributes:
        records: Records of the gallery memory.
        subject: Identity and camera of the query.
        uses_cameras: Whether cameras decide what is junk.
    """

    records: Sequence[ImageRecord]
    subject: QueryIdentity
    uses_cameras: bool

    def label(self, row: int) -> MatchLabel:
        """Return whether a row is a match, another person or junk."""
        return match_label(self.records[row], self.subject, self.uses_cameras)

    def ranks(self, ranking: Ranking) -> dict[int, int]:
        """Return the 1-based rank of every row in a ranking, without junk images."""
        ranked = (row for row in ranking.indices.tolist() if self.label(row) is not MatchLabel.JUNK)
        return {row: rank for rank, row in enumerate(ranked, start=1)}

    def first_match(self, ranking: Ranking) -> int | None:
        """Return the 1-based rank of the first true match, or None if the ranking has none."""
        matches = (rank for row, rank in self.ranks(ranking).items() if self.label(row) is MatchLabel.MATCH)
        return next(matches, None)

    def nearest(self, rows: Iterable[int]) -> int | None:
        """Return the first of `rows` that is not junk, or None if all are junk."""
        return next((row for row in rows if self.label(row) is not MatchLabel.JUNK), None)
