"""A table of scores as data: ours with interval and recipe, the paper's named so. `formats.py` writes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from fpc_core.config import QuerySettings
from fpc_core.evaluation.metrics.bootstrap import Estimate
from fpc_core.evaluation.paper_tables.score_recipe import ScoreRecipe

RANKS = (1, 5, 10)
MEASURES = (*(f"Rank-{rank}" for rank in RANKS), "mAP")


class Source(StrEnum):
    """Whose a column is."""

    LABEL = "label"
    OURS = "ours"
    PAPER = "paper"


@dataclass(frozen=True)
class OurScores:
    """estimates: in the order of MEASURES.  queries: how many were scored.

    settled: all queries that have a true match were scored; before that an estimate has no interval (low = high).
    """

    estimates: tuple[Estimate, ...]
    queries: int
    settled: bool

    def __getitem__(self, measure: str) -> Estimate:
        return self.estimates[MEASURES.index(measure)]


@dataclass(frozen=True)
class Row:
    """labels: under `ReportTable.labels`.  recipe, ours: of our scores; no recipe: we have none; ours None: not yet.

    computed: ours too, in closed form.  paper: as published, None where it prints nothing.
    """

    labels: tuple[str, ...]
    recipe: ScoreRecipe | None = None
    computed: tuple[float, ...] = ()
    paper: tuple[float | None, ...] = ()
    ours: OurScores | None = None


@dataclass(frozen=True)
class ReportTable:
    """One table.

    name: "Table 3".  settings: of every row, as far as its labels and its recipe's method do not say otherwise.
    labels, measures, computed: heads of the row labels and of our columns.  paper: data set and head of each of the
    paper's columns.  data: whose queries ours are.  notes: sentences on this table; about: on all of an evaluation.
    rules: rows that a rule stands above.
    """

    name: str
    title: str
    settings: QuerySettings
    labels: tuple[str, ...]
    rows: tuple[Row, ...]
    measures: tuple[str, ...] = ("Rank-1", "mAP")
    computed: tuple[str, ...] = ()
    paper: tuple[tuple[str, str], ...] = ()
    data: str = ""
    notes: tuple[str, ...] = ()
    about: tuple[str, ...] = ()
    rules: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            fits = (
                len(row.labels) == len(self.labels)
                and len(row.computed) in (0, len(self.computed))
                and len(row.paper) in (0, len(self.paper))
            )
            if not fits:
                raise ValueError(f"{self.name}: the row {row.labels} does not fit the columns")

    @property
    def recipes(self) -> tuple[ScoreRecipe, ...]:
        """Of the rows that have one."""
        return tuple(row.recipe for row in self.rows if row.recipe)

    @property
    def complete(self) -> bool:
        """Whether every score of ours is settled."""
        return all(row.recipe is None or (row.ours is not None and row.ours.settled) for row in self.rows)

    @property
    def caption(self) -> str:
        """What stands above the table."""
        return f"{self.title} (after {self.name} of the paper)." if self.paper else f"{self.title}."

    @property
    def slug(self) -> str:
        """A name for files: "table-3"."""
        return self.name.lower().replace(". ", "-").replace(" ", "-")


@dataclass(frozen=True)
class Column:
    """One column as text. group: what it stands under, "" for labels."""

    source: Source
    group: str
    head: str
    cells: tuple[str, ...]


def columns(
    table: ReportTable, written: Callable[[Estimate, bool], str], *, nothing: str = "-", pending: str = "..."
) -> list[Column]:
    """The table column by column: labels, ours, the paper's.

    written: of an estimate and whether it is settled.  nothing: where no figure exists; pending: where it will.
    """
    found = [
        Column(Source.LABEL, "", head, tuple(row.labels[place] for row in table.rows))
        for place, head in enumerate(table.labels)
    ]
    ours = f"ours: {table.data}"

    def score(row: Row, measure: str) -> str:
        if row.recipe is None:
            return nothing
        return pending if row.ours is None else written(row.ours[measure], row.ours.settled)

    if table.recipes:
        for measure in table.measures:
            found.append(Column(Source.OURS, ours, measure, tuple(score(row, measure) for row in table.rows)))
    for place, head in enumerate(table.computed):
        cells = tuple(f"{row.computed[place]:.2f}" if row.computed else nothing for row in table.rows)
        found.append(Column(Source.OURS, ours, head, cells))
    for place, (data, head) in enumerate(table.paper):
        values = [row.paper[place] if row.paper else None for row in table.rows]
        cells = tuple(nothing if value is None else f"{value:.1f}" for value in values)
        found.append(Column(Source.PAPER, f"the paper's: {data}", head, cells))
    return found
