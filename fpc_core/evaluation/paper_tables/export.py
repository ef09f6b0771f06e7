"""Format a table of scores as text, Markdown, LaTeX (booktabs) or CSV; equal tables give equal bytes."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

from fpc_core.evaluation.metrics.bootstrap import Estimate
from fpc_core.evaluation.paper_tables.table import Column, ReportTable, Source, columns

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': r"\textquotedbl{}",
    }
)
_MARKDOWN = str.maketrans({letter: f"\\{letter}" for letter in "\\`*_{}[]<>#|~$"})
_HEADS = {"alpha": r"$\alpha$", "K": "$K$", "keep rate": r"keep rate $\gamma$"}  # Column heads in LaTeX.
_MARKS = {"yes": r"$\checkmark$", "no": r"$\times$"}


def to_text(table: ReportTable) -> str:
    """Format a table as fixed-width text that ends with a newline."""
    table_columns = columns(table, _percent)
    widths = [max(map(len, (each.head, *each.cells))) for each in table_columns]
    groups = []
    for group, indices in _column_groups(table_columns):
        width = sum(widths[index] for index in indices) + 2 * (len(indices) - 1)
        widths[indices[-1]] += max(0, len(group) - width)
        groups.append(f"{group:<{max(width, len(group))}}")
    lines = [f"{table.name}: {table.title}", "", "  ".join(groups).rstrip()]
    lines += ["  ".join(f"{each.head:<{width}}" for each, width in zip(table_columns, widths, strict=True)).rstrip()]
    for row in range(len(table.rows)):
        if row in table.rules:
            lines.append("")
        cells = [f"{each.cells[row]:<{width}}" for each, width in zip(table_columns, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join([*lines, "", *table.notes, *table.about]) + "\n"


def to_markdown(table: ReportTable) -> str:
    """Format a table as Markdown: a heading, a pipe table whose column heads name the source, and notes."""
    table_columns = columns(table, _percent)
    heads = [f"{each.group}, {each.head}" if each.group else each.head for each in table_columns]
    lines = [
        f"### {_markdown(f'{table.name}: {table.title}')}",
        "",
        f"| {' | '.join(map(_markdown, heads))} |",
        f"|{'|'.join('---' if each.source is Source.LABEL else '---:' for each in table_columns)}|",
    ]
    for row in range(len(table.rows)):
        lines.append(f"| {' | '.join(_markdown(each.cells[row]) for each in table_columns)} |")
    return "\n".join([*lines, "", *(f"{_markdown(note)}  " for note in (*table.notes, *table.about))]) + "\n"


def to_latex(table: ReportTable) -> str:
    """Format a table as a LaTeX environment that needs booktabs, amssymb and adjustbox.

    The table is at most as wide as the text. Intervals follow their score in smaller type.
    """
    table_columns = columns(table, _latex_estimate, nothing="--", pending=r"\ldots")
    groups = _column_groups(table_columns)
    aligned = "".join("l" if each.source is Source.LABEL else "r" for each in table_columns)
    over, rules = [], []
    for group, indices in groups:
        over.append(rf"\multicolumn{{{len(indices)}}}{{c}}{{{latex(group)}}}" if group else " & " * (len(indices) - 1))
        if group:
            rules.append(rf"\cmidrule(lr){{{indices[0] + 1}-{indices[-1] + 1}}}")
    lines = [
        r"% needs \usepackage{booktabs,amssymb,adjustbox}",
        r"\begin{table}[t]",
        r"  \centering",
        rf"  \caption{{{latex(table.caption)}}}",
        rf"  \label{{tab:{table.slug}}}",
        r"  \begin{adjustbox}{max width=\linewidth}",
        rf"  \begin{{tabular}}{{{aligned}}}",
        r"    \toprule",
        rf"    {' & '.join(over)} \\ {' '.join(rules)}",
        rf"    {' & '.join(_HEADS.get(each.head, latex(each.head)) for each in table_columns)} \\",
        r"    \midrule",
    ]
    for row in range(len(table.rows)):
        if row in table.rules:
            lines.append(r"    \midrule")
        cells = (
            _MARKS.get(each.cells[row], latex(each.cells[row])) if each.source is Source.LABEL else each.cells[row]
            for each in table_columns
        )
        lines.append(rf"    {' & '.join(cells)} \\")
    lines += [r"    \bottomrule", r"  \end{tabular}", r"  \end{adjustbox}", "", r"  \smallskip\footnotesize"]
    lines += [f"  {latex(note)}" for note in (*table.notes, *table.about)]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def to_csv(table: ReportTable) -> str:
    """Format a table as CSV with scores and intervals in percent, the number of queries, and the recipe as JSON."""
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\n")
    heads = [*table.labels]
    if table.recipes:
        heads += [f"ours {measure}{part}" for measure in table.measures for part in ("", " low", " high")]
        heads += ["ours queries", "ours protocol"]
    heads += [f"ours {head}" for head in table.computed]
    heads += [f"paper {data} {head}" for data, head in table.paper]
    writer.writerow([*heads, "recipe"])
    for row in table.rows:
        cells: list[object] = [*row.labels]
        if table.recipes:
            for measure in table.measures:
                score = row.ours[measure] if row.ours else None
                settled = row.ours is not None and row.ours.settled
                cells.append("" if score is None else _number(100 * score.value))
                cells += [_number(100 * end) if score and settled else "" for end in _ends(score)]
            cells += [row.ours.queries, table.protocol] if row.ours else ["", ""]
        cells += [_number(value) for value in row.computed] or [""] * len(table.computed)
        cells += ["" if value is None else value for value in row.paper] or [""] * len(table.paper)
        writer.writerow([*cells, row.recipe.to_json(None).strip() if row.recipe else ""])
    return output.getvalue()


FORMATS: Mapping[str, tuple[str, Callable[[ReportTable], str]]] = {  # File suffix and formatter of each format.
    "text": (".txt", to_text),
    "markdown": (".md", to_markdown),
    "latex": (".tex", to_latex),
    "csv": (".csv", to_csv),
}


def latex(text: str) -> str:
    """Escape the special characters of LaTeX, and collapse whitespace."""
    return " ".join(text.split()).translate(_LATEX)


def _markdown(text: str) -> str:
    return " ".join(text.split()).translate(_MARKDOWN)


def _percent(score: Estimate, settled: bool) -> str:
    value = f"{100 * score.value:.1f}"
    return f"{value} [{100 * score.low:.1f}, {100 * score.high:.1f}]" if settled else f"({value})"


def _latex_estimate(score: Estimate, settled: bool) -> str:
    value = f"{100 * score.value:.1f}"
    if not settled:
        return f"({value})"
    return rf"{value} {{\scriptsize [{100 * score.low:.1f}, {100 * score.high:.1f}]}}"


def _column_groups(table_columns: Sequence[Column]) -> list[tuple[str, list[int]]]:
    """Return the groups of adjacent columns, each with its name and the indices of its columns."""
    return [
        (group, [index for index, _ in members])
        for group, members in groupby(enumerate(table_columns), key=lambda each: each[1].group)
    ]


def _ends(score: Estimate | None) -> tuple[float, float]:
    return (score.low, score.high) if score else (0.0, 0.0)


def _number(value: float) -> str:
    return f"{value:.4f}"
