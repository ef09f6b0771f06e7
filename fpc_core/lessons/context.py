"""The case a lesson tells: one search, and the hit that it follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from fpc_core.config import ModelConfig
from fpc_core.data.datasets import ImageRecord
from fpc_core.data.match_label import MatchLabel, QueryIdentity, match_label
from fpc_core.explain.cards import comparison_candidates, ranks_of
from fpc_core.explain.margin import margin
from fpc_core.explain.masks import DropShares
from fpc_core.explain.sentences import comparison_sentence
from fpc_core.results import QueryTrace, TransportPlan
from fpc_core.retrieval import Retriever
from fpc_core.runtime.interruption import once

SHOWN = 10  # hits among which a rival is looked for, as on the Explore page


@dataclass(frozen=True, eq=False)
class LessonContext:
    """hit: memory row of the shortlisted image that the lesson follows.

    truth: of the query at every dropping block, where the data has true masks; else empty.
    planned: the transport plan to a shortlisted memory row, where it is kept; else it is computed.
    """

    retriever: Retriever
    trace: QueryTrace
    subject: QueryIdentity
    uses_cameras: bool
    hit: int
    truth: tuple[DropShares, ...] = ()
    planned: Callable[[int], TransportPlan] | None = None

    @property
    def config(self) -> ModelConfig:
        """Of the model."""
        return self.retriever.model.config

    @property
    def records(self) -> Sequence[ImageRecord]:
        """Of the memory, by row."""
        return self.retriever.memory.records

    @cached_property
    def place(self) -> int:
        """Of the hit in the shortlist."""
        return self.trace.match.shortlist.place(self.hit)

    @once
    def plan(self) -> TransportPlan:
        """The transport plan to the hit."""
        return self.plan_to(self.hit)

    @cached_property
    def match_labels(self) -> dict[int, MatchLabel]:
        """Of every shortlisted row, nearest by D first."""
        rows = self.trace.by_distance.indices.tolist()
        return {row: match_label(self.records[row], self.subject, self.uses_cameras) for row in rows}

    @cached_property
    def ranks(self) -> dict[int, int]:
        """1-based ranks by D."""
        return ranks_of(self.trace.by_distance, self.records, self.subject, self.uses_cameras)

    @cached_property
    def rival(self) -> int | None:
        """The hit that the followed one is compared with: the one that says most; None without any other."""
        rows = list(self.match_labels)
        return comparison_candidates(rows, list(self.match_labels.values()), self.hit, SHOWN, show_junk=False)[1]

    def comparison_sentence(self) -> str:
        """The followed hit against its rival, in one sentence."""
        if self.rival is None:
            return "There is no other image to compare it with."
        alpha = self.trace.settings.alpha
        won = margin(self.trace.match, (self.plan, self.plan_to(self.rival)), alpha, self.config.grid)
        return comparison_sentence(won, (self.name(won.winner), self.name(won.loser)), alpha)

    def plan_to(self, row: int) -> TransportPlan:
        """The transport plan to a shortlisted memory row."""
        if self.planned is not None:
            return self.planned(row)
        place = self.trace.match.shortlist.place(row)
        return self.retriever.plan(self.trace.encoding, self.trace.match, place, self.trace.settings)

    def name(self, row: int) -> str:
        """A hit as it is called in sentences."""
        return f"#{self.ranks[row]}" if row in self.ranks else "the same-camera image"


def lesson_context(
    retriever: Retriever,
    trace: QueryTrace,
    subject: QueryIdentity,
    uses_cameras: bool,
    asked: int | None = None,
    truth: tuple[DropShares, ...] = (),
    planned: Callable[[int], TransportPlan] | None = None,
) -> LessonContext:
    """truth, planned: see `LessonContext`.

    asked: the hit to follow; where it is none or not on the shortlist, the nearest by D that is not junk.
    """
    records = retriever.memory.records
    rows = trace.by_distance.indices.tolist()
    nearest = next(
        (row for row in rows if match_label(records[row], subject, uses_cameras) is not MatchLabel.JUNK), rows[0]
    )
    hit = nearest if asked is None or asked not in rows else asked
    return LessonContext(retriever, trace, subject, uses_cameras, hit, truth, planned)
