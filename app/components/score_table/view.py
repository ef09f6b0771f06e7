"""View model of score tables: the text and interval of every cell. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

from fpc_core.evaluation.metrics.bootstrap import Estimate
from fpc_core.evaluation.paper_tables.table import ReportTable, Source, columns


@dataclass(frozen=True)
class Group:
    """Neighbouring columns of one source; `span` counts them."""

    text: str
    source: str
    span: int


@dataclass(frozen=True)
class ScoreCell:
    """One cell.

    Attributes:
        interval: As text, or empty.
        bar: Low end, score and high end of the interval on the scale of the table.
    """

    text: str
    source: str
    interval: str = ""
    bar: tuple[float, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class ScoreRow:
    """One row.

    Attributes:
        labels: Heads of the row.
        pick: What a click on its recipe reports; empty without a recipe.
    """

    labels: tuple[str, ...]
    cells: tuple[ScoreCell, ...]
    pick: str
    ruled: bool


@dataclass(frozen=True)
class ScoreSheet:
    """One table. `scale` explains the bars; empty without bars."""

    label: str
    groups: tuple[Group, ...]
    labels: tuple[str, ...]
    heads: tuple[tuple[str, str], ...]
    rows: tuple[ScoreRow, ...]
    scale: str


MARKS = {"yes": "✓", "no": "–"}  # of S, M and C


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
        # Our scores are first. FLOPs and the like, which follow, have no interval.
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
    """Return the table and row of a clicked recipe; None if it is no longer in these tables."""
    name, _, row = pick.rpartition("|")
    named = [table for table in tables if table.name == name]
    if not named or not row.isdigit() or int(row) >= len(named[0].rows) or not named[0].rows[int(row)].recipe:
        return None
    return named[0], int(row)


def _interval(score: Estimate) -> str:
    return f"{100 * score.low:.1f} – {100 * score.high:.1f}"


def _fraction(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5
