"""Classify every query by the stage of its search that found or lost the right person.

The stages are the three rankings: by `[cls]` cosine, by D (Eq. 10) within the shortlist, and by the consolidated
feature. A run of passes (`engine/runner.py`) computes them; this module only classifies its results.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import pandas as pd

# A person counts as pruned away if a smaller share of their visible area survives the last dropping block.
PRUNED_BELOW = 0.5


class Stage(StrEnum):
    """The distance by which a stage of the search ranks the gallery."""

    COSINE = "cosine"  # D_cos (Eq. 4).
    DISTANCE = "D"  # D (Eq. 10) within the shortlist, followed by the rest of the gallery by D_cos.
    CONSOLIDATED = "consolidated"  # Euclidean distance between the query's consolidated feature and the gallery's.


class Outcome(StrEnum):
    """Class of a query; `DESCRIPTIONS` has the definitions."""

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
# A hit is right if it shows the person in the query. Junk images do not count as hits.
DESCRIPTIONS = {
    Outcome.RIGHT: "The first hit is right by cosine, by D and after consolidation.",
    Outcome.TRANSPORT: "The first hit is wrong by cosine, right by D, and stays right after consolidation.",
    Outcome.CONSOLIDATION: "The first hit is wrong by D, right or wrong by cosine, and right after consolidation.",
    Outcome.BROKEN: "The first hit is right by D or by cosine, and wrong after consolidation.",
    Outcome.WRONG: "The first hit is wrong by cosine, by D and after consolidation; the person was not pruned away.",
    Outcome.PRUNED: "Wrong by cosine, by D and after consolidation, and too little of the visible person survives the "
    "last dropping block.",
}

COLUMNS = {
    "average_precision": "AP",
    "first_match": "rank of the first true match",
    "hit": "first hit",
    "right_hit": "first true match",
    "match": "distance of the nearest true match",
    "other": "distance of the nearest other",
}


@dataclass(frozen=True)
class Answer:
    """Result of one stage for a query, without junk images.

    Attributes:
        average_precision: Average precision over the whole gallery.
        first_match: 1-based rank of the first true match.
        hit: Row of the first hit in the gallery memory.
        right_hit: Row of the first true match in the gallery memory; equal to `hit` if the first hit is right.
        match: Distance of the nearest true match; None for stage D if no true match is shortlisted.
        other: Distance of the nearest image of another person; None for stage D if no such image is shortlisted.
    """

    average_precision: float
    first_match: int
    hit: int
    right_hit: int
    match: float | None
    other: float | None

    def __post_init__(self) -> None:
        if not 0 < self.average_precision <= 1 or self.first_match < 1:
            raise ValueError(
                "average_precision must be in (0, 1] and first_match at least 1, got "
                f"{self.average_precision} and {self.first_match}"
            )

    @property
    def right(self) -> bool:
        """Whether the first hit is a true match."""
        return self.first_match == 1


@dataclass(frozen=True)
class QueryOutcome:
    """Results of all stages for one query that has a true match.

    Attributes:
        path: Path of the query image.
        identity: Identity of the person in the query.
        camera: 0-based camera of the query.
        cosine: Result of the ranking by D_cos.
        distance: Result of the ranking by D.
        consolidated: Result after consolidation.
        survived: Share of the visible person's area in the patches that survive the last dropping block; None without a
            ground-truth mask.
        occluder: Kind of occluder in rendered data, otherwise empty.
        visible: Share of the person that is not occluded in rendered data, otherwise None.
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
        """Result of every stage."""
        return {Stage.COSINE: self.cosine, Stage.DISTANCE: self.distance, Stage.CONSOLIDATED: self.consolidated}


def classify(case: QueryOutcome, pruned_below: float = PRUNED_BELOW) -> Outcome:
    """Return the class of a query.

    A person counts as pruned away only if no stage is right, because a right first hit shows that enough was left.

    Args:
        case: Results of the query.
        pruned_below: Smallest surviving share of a person that does not count as pruned away.
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
    """Return whether too little of the visible person survives; False without a ground-truth mask.

    Args:
        case: Results of the query.
        below: Smallest surviving share that does not count as pruned away.
    """
    return case.survived is not None and case.survived < below


def group_by_outcome(
    cases: Iterable[QueryOutcome], pruned_below: float = PRUNED_BELOW
) -> dict[Outcome, list[QueryOutcome]]:
    """Group queries by class, in the order of `Outcome`; each query is in exactly one class.

    Args:
        cases: Results of the queries.
        pruned_below: Smallest surviving share of a person that does not count as pruned away.
    """
    result: dict[Outcome, list[QueryOutcome]] = {outcome: [] for outcome in Outcome}
    for case in cases:
        result[classify(case, pruned_below)].append(case)
    return result


def by_precision(cases: Iterable[QueryOutcome], best_first: bool = False) -> list[QueryOutcome]:
    """Sort queries by average precision after consolidation, then by path.

    Args:
        cases: Results of the queries.
        best_first: Whether the highest average precision comes first instead of last.
    """
    sign = -1 if best_first else 1
    return sorted(cases, key=lambda case: (sign * case.consolidated.average_precision, case.path.as_posix()))


@dataclass(frozen=True)
class Filter:
    """Criteria for the queries to show; an empty set allows all.

    A query whose occluder or visible share is unknown passes only if that criterion is not used.

    Attributes:
        occluders: Kinds of occluders.
        cameras: 0-based cameras.
        visible: Smallest and largest visible share, both inclusive.
    """

    occluders: frozenset[str] = frozenset()
    cameras: frozenset[int] = frozenset()
    visible: tuple[float, float] = (0.0, 1.0)

    def accepts(self, case: QueryOutcome) -> bool:
        """Return whether a query passes the filter."""
        low, high = self.visible
        return (
            (not self.occluders or case.occluder in self.occluders)
            and (not self.cameras or case.camera in self.cameras)
            and (self.visible == (0.0, 1.0) or (case.visible is not None and low <= case.visible <= high))
        )


def survived_share(person: np.ndarray, alive: np.ndarray) -> float | None:
    """Return the share of the visible person's area that survives; None if no patch shows the person.

    A pixel counts once for each of the overlapping patches that contain it.

    Args:
        person: (rows, columns) share of every patch that shows the person (`explain.patch_contents.patch_areas`).
        alive: (rows, columns) bool, whether the patch survives.
    """
    total = float(person.sum())
    return float(person[alive].sum()) / total if total > 0 else None


def atlas_table(
    cases: Iterable[QueryOutcome], gallery: Mapping[int, str], pruned_below: float = PRUNED_BELOW
) -> pd.DataFrame:
    """Return a table with one row per query, ready for CSV, in which cameras count from 1.

    Args:
        cases: Queries to list.
        gallery: Path for every row of the gallery memory that is a first hit or a first true match.
        pruned_below: Smallest surviving share of a person that does not count as pruned away.
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
            values = asdict(answer) | {"hit": gallery[answer.hit], "right_hit": gallery[answer.right_hit]}
            row |= {f"{stage.value}: {COLUMNS[name]}": value for name, value in values.items()}
        rows.append(row)
    return pd.DataFrame(rows)
