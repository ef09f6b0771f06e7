"""The failure atlas: every query sorted by where, on its way through the three rankings, the right person got lost.

The three stages are those of a search: by `[cls]` cosine, by D (Eq. 10) within the shortlist, by the consolidated
feature. A run of passes (`run.py`) computes them; what stands here is read off its results.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import pandas as pd

PRUNED_BELOW = 0.5  # the person counts as pruned away where less of its visible area survives the last block


class Stage(StrEnum):
    """By what the gallery is ranked."""

    COSINE = "cosine"  # D_cos of Eq. 4
    DISTANCE = "D"  # Eq. 10, within the shortlist; behind it the rest of the gallery by D_cos
    CONSOLIDATED = "consolidated"  # Euclidean distance of L2-normalised features, the consolidated one of the query


class Outcome(StrEnum):
    """What became of a query; `DESCRIPTIONS` has the definitions."""

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
# A stage is right where its first hit, junk left out, is the person sought. "EMD" is D of Eq. 10, of which D_EMD is a
# part: D is what chooses the neighbours.
DESCRIPTIONS = {
    Outcome.RIGHT: "The first hit is the person sought by cosine, by D and after consolidation.",
    Outcome.TRANSPORT: "The first hit is wrong by cosine, right by D, and stays right after consolidation.",
    Outcome.CONSOLIDATION: "The first hit is wrong by D, whatever it was by cosine, and right after consolidation.",
    Outcome.BROKEN: "The first hit is right by D, or if not by D then by cosine, and wrong after consolidation.",
    Outcome.WRONG: "The first hit is wrong by cosine, by D and after consolidation; the person was not pruned away.",
    Outcome.PRUNED: "Wrong by cosine, by D and after consolidation, and too little of the visible person survives the "
    "last dropping block to be found.",
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
    """What one stage says to a query; junk images are left out throughout.

    average_precision: over the whole gallery.  first_match: 1-based rank of the first true match.  hit: memory row of
    the first hit.  match, other: distance of the nearest true match and of the nearest other image; None where the
    stage has no distance of any, which is D where none of them is shortlisted.
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
    """One query with a true match. camera: counted from 0.

    survived: share of the visible person's area in the patches that survive the last dropping block, None without a
    true mask.  occluder, visible: kind, and share of the person not covered, of rendered data; else empty and None.
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
        """The answer after every stage."""
        return {Stage.COSINE: self.cosine, Stage.DISTANCE: self.distance, Stage.CONSOLIDATED: self.consolidated}


def classify(case: QueryOutcome, pruned_below: float = PRUNED_BELOW) -> Outcome:
    """The one class of a case.

    Precedence: how it ends, then where that was decided, then why. A person of whom little survived counts as pruned
    away only where no stage was right: a right answer shows that enough was left.
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
    """Whether less than this share of the visible person survives, as far as that is known."""
    return case.survived is not None and case.survived < below


def sorted_out(cases: Iterable[QueryOutcome], pruned_below: float = PRUNED_BELOW) -> dict[Outcome, list[QueryOutcome]]:
    """The cases of every class, in the order of `Outcome`; each case stands in exactly one."""
    found: dict[Outcome, list[QueryOutcome]] = {outcome: [] for outcome in Outcome}
    for case in cases:
        found[classify(case, pruned_below)].append(case)
    return found


def by_precision(cases: Iterable[QueryOutcome], best_first: bool = False) -> list[QueryOutcome]:
    """By AP after consolidation, the worst first or the best; equal ones by path. Nothing is left out or drawn."""
    sign = -1 if best_first else 1
    return sorted(cases, key=lambda case: (sign * case.consolidated.average_precision, case.path.as_posix()))


@dataclass(frozen=True)
class Filter:
    """Which cases are wanted; an empty set wants all. visible: least and most share, both included.

    A case of which the occluder or the visible share is unknown passes only where nothing is asked about it.
    """

    occluders: frozenset[str] = frozenset()
    cameras: frozenset[int] = frozenset()
    visible: tuple[float, float] = (0.0, 1.0)

    def wants(self, case: QueryOutcome) -> bool:
        """Whether the filter lets this case through."""
        low, high = self.visible
        return (
            (not self.occluders or case.occluder in self.occluders)
            and (not self.cameras or case.camera in self.cameras)
            and (self.visible == (0.0, 1.0) or (case.visible is not None and low <= case.visible <= high))
        )


def survived_share(person: np.ndarray, alive: np.ndarray) -> float | None:
    """Of the visible person's area, the share in the patches alive; None where no patch shows the person.

    person: (rows, columns) share of every patch that shows it (`explain.masks.patch_areas`); alive: bool, the same
    shape. Overlapping patches count their common pixels as often as they cover them.
    """
    total = float(person.sum())
    return float(person[alive].sum()) / total if total > 0 else None


def atlas_table(
    cases: Iterable[QueryOutcome], gallery: Mapping[int, str], pruned_below: float = PRUNED_BELOW
) -> pd.DataFrame:
    """One row per case, ready for CSV. gallery: path of every memory row that is a first hit. Cameras count from 1."""
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
