"""What score tables show: texts and intervals of all cells. All functions are pure."""

from __future__ import annotations

from dataclasses import dataclass

from fpc_core.evaluation.metrics.bootstrap import Estimate
from fpc_core.evaluation.paper_tables.table import ReportTable, Source, columns


@dataclass(frozen=True)
class Group:
    """Header above adjacent columns.

    Attributes:
        text: Text of the header.
        source: Source of the scores.
        span: Number of columns.
    """

    text: str
    source: str
    span: int


@dataclass(frozen=True)
class ScoreCell:
    """A cell of a score table.

    Attributes:
        text: Formatted score.
        source: Source of the score.
        interval: Confidence interval as text, or empty.
        bar: Lower end, score and upper end of the interval, from 0 to 1 on the scale of the table.
        note: Remark on an incomplete score, or empty.
    """

    text: str
    source: str
    interval: str = ""
    bar: tuple[float, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class ScoreRow:
    """A row of a score table.

    Attributes:
        labels: Row headers.
        cells: Cells with scores.
        pick: Id that a click on the recipe button reports; empty without a recipe.
        ruled: Whether a line is drawn above the row.
    """

    labels: tuple[str, ...]
    cells: tuple[ScoreCell, ...]
    pick: str
    ruled: bool


@dataclass(frozen=True)
class ScoreSheet:
    """A score table.

    Attributes:
        label: Name and title of the table.
        groups: Headers above adjacent columns.
        labels: Headers of the columns with row headers.
        heads: Header and source of each column with scores.
        rows: Rows of the table.
        scale: Explanation of the bars; empty without bars.
    """

    label: str
    groups: tuple[Group, ...]
    labels: tuple[str, ...]
    heads: tuple[tuple[str, str], ...]
    rows: tuple[ScoreRow, ...]
    scale: str


MARKS = {"yes": "✓", "no": "–"}  # Symbols in the columns S, M and C.


def score_sheet(table: ReportTable) -> ScoreSheet:
    """Return the view model of a table. All bars share one scale, so that intervals can be compared."""
    table_columns = columns(table, lambda score, settled: f"{100 * score.value:.1f}", nothing="–", pending="…")
    labels = [each for each in table_columns if each.source is Source.LABEL]
    figures = [each for each in table_columns if each.source is not Source.LABEL]
    shown = [row.ours[measure] for row in table.rows if row.ours and row.ours.settled for measure in table.measures]
    level = 100 * table.recipes[0].bootstrap.level if table.recipes else 0
    low, high = min((each.low for each in shown), default=0.0), max((each.high for each in shown), default=1.0)

    def cell(row: int, index: int) -> ScoreCell:
        column = figures[index]
        ours = table.rows[row].ours
        # Measured scores come first. Other values, such as FLOPs, follow and have no interval.
        measured = column.source is Source.OURS and index < len(table.measures) and bool(table.recipes)
        if ours is None or not measured:
            return ScoreCell(column.cells[row], column.source.value)
        score = ours[table.measures[index]]
        if not ours.settled:
            return ScoreCell(column.cells[row], column.source.value, note=f"{ours.queries} queries so far")
        bar = tuple(_fraction(value, low, high) for value in (score.low, score.value, score.high))
        return ScoreCell(column.cells[row], column.source.value, _interval(score), bar)

    groups: list[Group] = []
    for column in figures:
        if groups and groups[-1].text == column.group:
            groups[-1] = Group(column.group, column.source.value, groups[-1].span + 1)
        else:
            groups.append(Group(column.group, column.source.value, 1))
    return ScoreSheet(
        label=f"{table.name}: {table.title}",
        groups=tuple(groups),
        labels=tuple(each.head for each in labels),
        heads=tuple((each.head, each.source.value) for each in figures),
        rows=tuple(
            ScoreRow(
                tuple(MARKS.get(each.cells[row], each.cells[row]) for each in labels),
                tuple(cell(row, index) for index in range(len(figures))),
                f"{table.name}|{row}" if table.rows[row].recipe else "",
                row in table.rules,
            )
            for row in range(len(table.rows))
        ),
        scale=f"Bars: {level:g} % intervals, from {100 * low:.1f} to {100 * high:.1f} %." if shown else "",
    )


def picked_row(pick: str, tables: tuple[ReportTable, ...]) -> tuple[ReportTable, int] | None:
    """Return the table and row index of a clicked recipe, or None if the tables no longer contain it.

    Args:
        pick: `ScoreRow.pick` of the clicked row.
        tables: Tables on the page.
    """
    name, _, row = pick.rpartition("|")
    named = [table for table in tables if table.name == name]
    if not named or not row.isdigit() or int(row) >= len(named[0].rows) or not named[0].rows[int(row)].recipe:
        return None
    return named[0], int(row)


def _interval(score: Estimate) -> str:
    return f"{100 * score.low:.1f} – {100 * score.high:.1f}"


def _fraction(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5
