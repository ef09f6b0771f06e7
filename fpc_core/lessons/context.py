"""Context of a lesson: one search, and the hit that the lesson follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fpc_core.config import ModelConfig
from fpc_core.data.datasets import ImageRecord
from fpc_core.data.match_label import MatchLabel, QueryIdentity
from fpc_core.data.match_rule import MatchRule
from fpc_core.explain.cards import comparison_candidates
from fpc_core.explain.margin import margin
from fpc_core.explain.mask_comparison import MaskOutcome
from fpc_core.explain.patch_contents import DropShares
from fpc_core.explain.sentences import comparison_sentence
from fpc_core.results import QueryTrace, TransportPlan
from fpc_core.retrieval import Retriever
from fpc_core.runtime.interruption import lazy_property

SHOWN = 10  # Number of hits to compare with, as on the Explore page.


@dataclass(frozen=True, eq=False)
class LessonContext:
    """One search and the hit that the lesson follows.

    Attributes:
        retriever: Model and gallery memory.
        trace: Results of the search.
        subject: Identity and camera of the query.
        uses_cameras: Whether cameras decide what is junk.
        hit: Row of the hit in the gallery memory.
        truth: Shares of what the patches of each dropping block show, by ground-truth masks; empty without masks.
        planned: Function that returns a cached transport plan by row; if None, plans are computed.
        masks: Results for the model's mask and others, from `mask_comparison.mask_outcomes`; empty if not computed.
    """

    retriever: Retriever
    trace: QueryTrace
    subject: QueryIdentity
    uses_cameras: bool
    hit: int
    truth: tuple[DropShares, ...] = ()
    planned: Callable[[int], TransportPlan] | None = None
    masks: tuple[MaskOutcome, ...] = ()

    @property
    def config(self) -> ModelConfig:
        """Architecture of the model."""
        return self.retriever.model.config

    @property
    def records(self) -> Sequence[ImageRecord]:
        """Records of the gallery memory, by row."""
        return self.retriever.memory.records

    @property
    def rule(self) -> MatchRule:
        """Rule that decides which rows are matches or junk."""
        return MatchRule(self.records, self.subject, self.uses_cameras)

    @cached_property
    def position(self) -> int:
        """Position of the hit on the shortlist."""
        return self.trace.match.shortlist.position(self.hit)

    @lazy_property
    def plan(self) -> TransportPlan:
        """Transport plan to the hit."""
        return self.plan_to(self.hit)

    @cached_property
    def marginals(self) -> tuple[np.ndarray, np.ndarray]:
        """Marginals of the query, (M,), and the hit, (N,).

        If an image has no weight, which only the released solver allows, its patches get equal weights here, so that
        there is a plan to show.
        """
        transport = self.trace.match.transport
        a, b = transport.query_marginal[self.position], transport.gallery_marginal[self.position]
        return a if a.any() else np.full_like(a, 1 / len(a)), b if b.any() else np.full_like(b, 1 / len(b))

    @cached_property
    def disagrees(self) -> bool:
        """Whether an image has no weight, because none of its patches agrees with the other image."""
        transport = self.trace.match.transport
        sides = transport.query_marginal[self.position], transport.gallery_marginal[self.position]
        return not all(side.any() for side in sides)

    @cached_property
    def match_labels(self) -> dict[int, MatchLabel]:
        """Label of each shortlisted row, nearest by D first."""
        rows = self.trace.by_distance.indices.tolist()
        return {row: self.rule.label(row) for row in rows}

    @cached_property
    def ranks(self) -> dict[int, int]:
        """1-based rank by D of each shortlisted row that is not junk."""
        return self.rule.ranks(self.trace.by_distance)

    @cached_property
    def rival(self) -> int | None:
        """Row of the most instructive hit to compare with, or None if there is no other hit."""
        rows = list(self.match_labels)
        return comparison_candidates(rows, list(self.match_labels.values()), self.hit, SHOWN, show_junk=False)[1]

    def comparison_sentence(self) -> str:
        """Compare the hit with its rival in one sentence."""
        if self.rival is None:
            return "There is no other image to compare this hit with."
        alpha = self.trace.settings.alpha
        difference = margin(self.trace.match, (self.plan, self.plan_to(self.rival)), alpha, self.config.grid)
        return comparison_sentence(difference, (self.name(difference.winner), self.name(difference.loser)), alpha)

    def plan_to(self, row: int) -> TransportPlan:
        """Return the transport plan to a shortlisted row."""
        if self.planned is not None:
            return self.planned(row)
        position = self.trace.match.shortlist.position(row)
        return self.retriever.plan(self.trace.encoding, self.trace.match, position, self.trace.settings)

    def name(self, row: int) -> str:
        """Return the name of a hit for sentences, such as "#1"."""
        return f"#{self.ranks[row]}" if row in self.ranks else "the same-camera image"


def lesson_context(
    retriever: Retriever,
    trace: QueryTrace,
    subject: QueryIdentity,
    uses_cameras: bool,
    requested: int | None = None,
    truth: tuple[DropShares, ...] = (),
    planned: Callable[[int], TransportPlan] | None = None,
) -> LessonContext:
    """Create the context of a lesson, and choose the hit that it follows.

    Args:
        retriever: Model and gallery memory.
        trace: Results of the search.
        subject: Identity and camera of the query.
        uses_cameras: Whether cameras decide what is junk.
        requested: Row of the hit; if None or not shortlisted, the hit is the nearest by D that is not junk, or the
            nearest of all if all are junk.
        truth: What the dropped patches of each block show, by ground-truth masks; empty if there are none.
        planned: Function that returns a cached transport plan by row; if None, plans are computed.
    """
    rows = trace.by_distance.indices.tolist()
    hit = requested
    if hit is None or hit not in rows:
        nearest = MatchRule(retriever.memory.records, subject, uses_cameras).nearest(rows)
        hit = rows[0] if nearest is None else nearest
    return LessonContext(retriever, trace, subject, uses_cameras, hit, truth, planned)
