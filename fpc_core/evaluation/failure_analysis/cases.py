"""Classify every query by the stage of its search that found or lost the right person.

The stages are the three rankings: by `[cls]` cosine, by D (Eq. 10) within the shortlist, and by the consolidated
feature. A run of passes (`engine/runner.py`) computes them; this module only reads its results.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import pandas as pd

PRUNED_BELOW = 0.5  # a person counts as pruned away if less of its visible area survives the last dropping block


class Stage(StrEnum):
    """What the gallery is ranked by."""

    COSINE = "cosine"  # D_cos of Eq. 4
    DISTANCE = "D"  # Eq. 10 within the shortlist, then the rest of the gallery by D_cos
    CONSOLIDATED = "consolidated"  # Euclidean distance between the query's consolidated feature and the gallery's


class Outcome(StrEnum):
    """How a query ended; `DESCRIPTIONS` has the definitions."""

    RIGHT = "right"
    TRANSPORT = "transport"
    CONSOLIDATION = "consolidation"
    BROKEN = "broken"
    WRONG = "wrong"
    PRUNED = "pruned"


NAMES = {
    Outcome.RIGHT: "Correct throughout",
    Outcome.TRANSPORT: "Fixed by patch matching",
    Outcome.CONSOLIDATION: "Fixed by consolidation",
    Outcome.BROKEN: "Broken by consolidation",
    Outcome.WRONG: "Wrong throughout",
    Outcome.PRUNED: "Person was pruned",
}
# A stage is right if its first hit, without junk, is the person in the query. "EMD" means D of Eq. 10, which includes
# D_EMD, because D chooses the neighbours.
DESCRIPTIONS = {
    Outcome.RIGHT: "The first hit is right by cosine, by D and after consolidation.",
    Outcome.TRANSPORT: "The first hit is wrong by cosine, right by D, and stays right after consolidation.",
    Outcome.CONSOLIDATION: "The first hit is wrong by D, whatever it was by cosine, and right after consolidation.",
    Outcome.BROKEN: "The first hit is right by D, or if not by D then by cosine, and wrong after consolidation.",
    Outcome.WRONG: "The first hit is wrong by cosine, by D and after consolidation; the person was not pruned away.",
    Outcome.PRUNED: "Wrong by cosine, by D and after consolidation, and too little of the visible person survives the "
    "last dropping block.",
}

COLUMNS = {
    "average_precision": "AP",
    "first_match": "rank of the first true match",
    "hit": "first hit",
    "match": "distance of the nearest true match",
    "other": "distance of the nearest other",
}


@dataclass(frozen=True)
class Answer:
    """The result of one stage for a query, without junk images.

    Attributes:
        average_precision: Over the whole gallery.
        first_match: 1-based rank of the first true match.
        hit: Row of the first hit in the gallery memory.
        match: Distance of the nearest true match; None by D if none is shortlisted.
        other: Distance of the nearest other image; None likewise.
    """

    average_precision: float
    first_match: int
    hit: int
    match: float | None
    other: float | None

    def __post_init__(self) -> None:
        if not 0 < self.average_precision <= 1 or self.first_match < 1:
            raise ValueError(
                f"AP lies in (0, 1] and ranks count from 1, not {self.average_precision}, {self.first_match}"
            )

    @property
    def right(self) -> bool:
        """Whether the first hit is a true match."""
        return self.first_match == 1


@dataclass(frozen=True)
class QueryOutcome:
    """One query with a true match.

    Attributes:
        path: Of the query.
        identity: Of the query.
        camera: Counted from 0.
        cosine: Result by D_cos.
        distance: Result by D.
        consolidated: Result after consolidation.
        survived: Share of the visible person's area in the patches that survive the last dropping block; None without a
            ground-truth mask.
        occluder: Kind of occluder in rendered data, else empty.
        visible: Share of the person that is not covered in rendered data, else None.
    """

    path: Path
    identity: int
    camera: int
    cosine: Answer
    distance: Answer
    consolidated: Answer
    survived: float | None = None
    occluder: str = ""
    visible: float | None = None

    @property
    def answers(self) -> dict[Stage, Answer]:
        """The result of every stage."""
        return {Stage.COSINE: self.cosine, Stage.DISTANCE: self.distance, Stage.CONSOLIDATED: self.consolidated}


def classify(case: QueryOutcome, pruned_below: float = PRUNED_BELOW) -> Outcome:
    """Return the class of a query.

    The final result counts first, then where it was decided, then why. A person counts as pruned away only where no
    stage was right, because a right answer shows that enough was left.
    """
    cosine, distance = case.cosine.right, case.distance.right
    if case.consolidated.right:
        if not distance:
            return Outcome.CONSOLIDATION
        return Outcome.RIGHT if cosine else Outcome.TRANSPORT
    if cosine or distance:
        return Outcome.BROKEN
    return Outcome.PRUNED if pruned_away(case, pruned_below) else Outcome.WRONG


def pruned_away(case: QueryOutcome, below: float = PRUNED_BELOW) -> bool:
    """Return whether less than this share of the visible person survives, as far as that is known."""
    return case.survived is not None and case.survived < below


def sorted_out(cases: Iterable[QueryOutcome], pruned_below: float = PRUNED_BELOW) -> dict[Outcome, list[QueryOutcome]]:
    """Return the queries of every class, in the order of `Outcome`; each query is in exactly one."""
    result: dict[Outcome, list[QueryOutcome]] = {outcome: [] for outcome in Outcome}
    for case in cases:
        result[classify(case, pruned_below)].append(case)
    return result


def by_precision(cases: Iterable[QueryOutcome], best_first: bool = False) -> list[QueryOutcome]:
    """Sort by AP after consolidation, then by path."""
    sign = -1 if best_first else 1
    return sorted(cases, key=lambda case: (sign * case.consolidated.average_precision, case.path.as_posix()))


@dataclass(frozen=True)
class Filter:
    """Which queries to show; an empty set allows all.

    A query whose occluder or visible share is unknown passes only if that criterion is not used.

    Attributes:
        occluders: Kinds.
        cameras: Counted from 0.
        visible: Smallest and largest visible share, both included.
    """

    occluders: frozenset[str] = frozenset()
    cameras: frozenset[int] = frozenset()
    visible: tuple[float, float] = (0.0, 1.0)

    def wants(self, case: QueryOutcome) -> bool:
        """Return whether a query passes the filter."""
        low, high = self.visible
        return (
            (not self.occluders or case.occluder in self.occluders)
            and (not self.cameras or case.camera in self.cameras)
            and (self.visible == (0.0, 1.0) or (case.visible is not None and low <= case.visible <= high))
        )


def survived_share(person: np.ndarray, alive: np.ndarray) -> float | None:
    """Return the share of the visible person's area that survives; None where no patch shows the person.

    Overlapping patches count their common pixels as often as they cover them.

    Args:
        person: (rows, columns) share of every patch that shows the person (`explain.masks.patch_areas`).
        alive: (rows, columns) bool.
    """
    total = float(person.sum())
    return float(person[alive].sum()) / total if total > 0 else None


def atlas_table(
    cases: Iterable[QueryOutcome], gallery: Mapping[int, str], pruned_below: float = PRUNED_BELOW
) -> pd.DataFrame:
    """Return one row per query, ready for CSV. Cameras count from 1.

    Args:
        cases: The queries.
        gallery: Path of every row of the gallery memory that is a first hit.
        pruned_below: Passed to `classify`.
    """
    rows = []
    for case in cases:
        row = {
            "query": case.path.as_posix(),
            "identity": case.identity,
            "camera": case.camera + 1,
            "class": NAMES[classify(case, pruned_below)],
            "survived share of the person": case.survived,
            "occluder": case.occluder,
            "visible share": case.visible,
        }
        for stage, answer in case.answers.items():
            values = asdict(answer) | {"hit": gallery[answer.hit]}
            row |= {f"{stage.value}: {COLUMNS[name]}": value for name, value in values.items()}
        rows.append(row)
    return pd.DataFrame(rows)
