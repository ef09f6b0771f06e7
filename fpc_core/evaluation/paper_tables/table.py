"""Data of a table of scores: our scores with intervals and recipes, and the paper's scores.

`export.py` formats tables as text.
"""

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
    """Source of the values in a column."""

    LABEL = "label"
    OURS = "ours"
    PAPER = "paper"


@dataclass(frozen=True)
class OurScores:
    """Our scores in one row.

    Attributes:
        estimates: Scores with intervals, in the order of MEASURES.
        queries: Number of queries that were scored.
        settled: Whether all queries with a true match are scored; if not, estimates have no interval (low = high).
    """

    estimates: tuple[Estimate, ...]
    queries: int
    settled: bool

    def __getitem__(self, measure: str) -> Estimate:
        return self.estimates[MEASURES.index(measure)]


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        labels: Values of the label columns, in the order of `ReportTable.labels`.
        recipe: Recipe of our scores; None if the row has none.
        computed: Our numbers that are computed in closed form, such as FLOPs.
        paper: The paper's numbers; None where it prints nothing.
        ours: Our scores; None if they are not computed yet.
    """

    labels: tuple[str, ...]
    recipe: ScoreRecipe | None = None
    computed: tuple[float, ...] = ()
    paper: tuple[float | None, ...] = ()
    ours: OurScores | None = None


@dataclass(frozen=True)
class ReportTable:
    """A table of scores.

    Attributes:
        name: Name of the table, such as "Table 3".
        title: Caption without the name.
        settings: Settings of all rows, unless labels or recipe of a row differ.
        labels: Heads of the label columns.
        rows: Rows of the table.
        measures: Heads of our score columns.
        computed: Heads of our columns that are computed in closed form.
        paper: Dataset and head of each column with the paper's numbers.
        data: Name of the dataset of our scores.
        protocol: Name of the protocol of our scores.
        notes: Notes on this table.
        about: Notes on the whole evaluation.
        rules: Indices of rows above which a rule is drawn.
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
    protocol: str = ""
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
                raise ValueError(f"{self.name}: the row {row.labels} does not match the number of columns")

    @property
    def recipes(self) -> tuple[ScoreRecipe, ...]:
        """Recipes of the rows that have one."""
        return tuple(row.recipe for row in self.rows if row.recipe)

    @property
    def complete(self) -> bool:
        """Whether all our scores are settled."""
        return all(row.recipe is None or (row.ours is not None and row.ours.settled) for row in self.rows)

    @property
    def caption(self) -> str:
        """The caption above the table."""
        return f"{self.title} (after {self.name} of the paper)." if self.paper else f"{self.title}."

    @property
    def slug(self) -> str:
        """Name for files, such as "table-3"."""
        return self.name.lower().replace(". ", "-").replace(" ", "-")


@dataclass(frozen=True)
class Column:
    """One column as text; `group` is the head of its group of columns, empty for labels."""

    source: Source
    group: str
    head: str
    cells: tuple[str, ...]


def columns(
    table: ReportTable, format_estimate: Callable[[Estimate, bool], str], *, nothing: str = "-", pending: str = "..."
) -> list[Column]:
    """Return the columns of a table: labels, our scores, then the paper's.

    Args:
        table: Table to convert.
        format_estimate: Function that formats an estimate, given whether it is settled.
        nothing: Text for a cell without a number.
        pending: Text for a number that is not computed yet.
    """
    result = [
        Column(Source.LABEL, "", head, tuple(row.labels[index] for row in table.rows))
        for index, head in enumerate(table.labels)
    ]
    ours = f"ours: {table.data}"

    def score(row: Row, measure: str) -> str:
        if row.recipe is None:
            return nothing
        return pending if row.ours is None else format_estimate(row.ours[measure], row.ours.settled)

    if table.recipes:
        for measure in table.measures:
            result.append(Column(Source.OURS, ours, measure, tuple(score(row, measure) for row in table.rows)))
    for index, head in enumerate(table.computed):
        cells = tuple(f"{row.computed[index]:.2f}" if row.computed else nothing for row in table.rows)
        result.append(Column(Source.OURS, ours, head, cells))
    for index, (data, head) in enumerate(table.paper):
        values = [row.paper[index] if row.paper else None for row in table.rows]
        cells = tuple(nothing if value is None else f"{value:.1f}" for value in values)
        result.append(Column(Source.PAPER, f"the paper's: {data}", head, cells))
    return result
