"""Tables in text, Markdown, LaTeX and CSV contain every number with its source, and names are escaped."""

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpc_core.config import QuerySettings
from fpc_core.evaluation.metrics.bootstrap import Estimate
from fpc_core.evaluation.paper_tables.export import FORMATS, latex, to_csv, to_latex, to_markdown, to_text
from fpc_core.evaluation.paper_tables.score_recipe import ScoreRecipe
from fpc_core.evaluation.paper_tables.table import MEASURES, Column, OurScores, ReportTable, Row, Source, columns

RECIPE = ScoreRecipe(data='A, "quoted"  world')


def scores(rank_1, settled=True):
    result = tuple(Estimate(rank_1, rank_1 - 0.05, rank_1 + 0.05) for _ in MEASURES)
    return OurScores(result, 40, settled)


@pytest.fixture
def table():
    """Return a table with a row of both sources, one of the paper only, one in progress, and one not started."""
    rows = (
        Row(("FPC", "yes"), RECIPE, (15.731,), (76.7, None), scores(0.625)),
        Row(("PCB", "no"), paper=(42.6, 33.7)),
        Row(("half", "yes"), RECIPE, (10.391,), (1.5, 2.5), scores(0.5, settled=False)),
        Row(("later", "no"), RECIPE, (9.0,)),
    )
    return ReportTable(
        "Table 9",
        "A & B",
        QuerySettings(),
        ("method", "S"),
        rows,
        computed=("FLOPs (G)",),
        paper=(("Duke_1", "Rank-1"), ("Duke_1", "mAP")),
        data="50 % world",
        notes=("Note_1.",),
        rules=(2,),
    )


def test_text_aligns_our_and_the_papers_columns(table):
    lines = to_text(table).splitlines()
    assert lines[0] == "Table 9: A & B"
    groups, heads, *rows = lines[2:5] + lines[5:9]
    at = groups.index("the paper's: Duke_1")
    assert groups.index("ours: 50 % world") < at
    assert heads[at:].split() == ["Rank-1", "mAP"]
    assert rows[0].split("  ")[0] == "FPC"
    assert "62.5 [57.5, 67.5]" in rows[0]
    assert rows[0][at:].split() == ["76.7", "-"]
    assert rows[1][at:].split() == ["42.6", "33.7"]
    assert "" in lines[5:8]  # The horizontal rule is an empty line.
    assert "(50.0)" in to_text(table)
    assert "..." in lines[8]
    assert lines[-1] == "Note_1."


def test_markdown_is_one_table_that_names_its_sources(table):
    lines = to_markdown(table).splitlines()
    body = [line for line in lines if line.startswith("|")]
    assert {line.replace(r"\|", "").count("|") for line in body} == {7 + 1}
    assert "ours: 50 % world, Rank-1" in body[0]
    assert r"the paper's: Duke\_1, mAP" in body[0]
    assert r"62.5 \[57.5, 67.5\]" in body[2]
    assert lines[-1].startswith(r"Note\_1.")


def test_latex_is_booktabs_with_a_head_for_every_source(table):
    text = to_latex(table)
    for command in (
        r"\toprule",
        r"\bottomrule",
        r"\begin{table}",
        r"\end{table}",
        r"\end{tabular}",
        r"\end{adjustbox}",
    ):
        assert text.count(command) == 1
    assert text.count(r"\midrule") == 2
    assert r"\multicolumn{3}{c}{ours: 50 \% world}" in text
    assert r"\multicolumn{2}{c}{the paper's: Duke\_1}" in text
    assert r"\cmidrule(lr){3-5} \cmidrule(lr){6-7}" in text
    assert r"\caption{A \& B (after Table 9 of the paper).}" in text
    assert r"FPC & $\checkmark$ & 62.5 {\scriptsize [57.5, 67.5]}" in text
    body = [line for line in text.splitlines() if line.strip().startswith(("FPC", "PCB", "half", "later", "method"))]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {7 - 1}
    assert text.replace(r"\{", "").replace(r"\}", "").count("{") == text.replace(r"\{", "").replace(r"\}", "").count(
        "}"
    )


def test_csv_has_numbers_and_a_recipe_that_can_be_read_back(table):
    first, second, third, fourth = csv.DictReader(io.StringIO(to_csv(table)))
    assert (first["ours Rank-1"], first["ours Rank-1 low"], first["ours Rank-1 high"]) == (
        "62.5000",
        "57.5000",
        "67.5000",
    )
    assert (first["ours queries"], first["ours FLOPs (G)"]) == ("40", "15.7310")
    assert (first["paper Duke_1 Rank-1"], first["paper Duke_1 mAP"]) == ("76.7", "")
    assert ScoreRecipe.from_json(first["recipe"]) == RECIPE
    assert (second["ours Rank-1"], second["paper Duke_1 mAP"], second["recipe"]) == ("", "33.7", "")
    assert (third["ours Rank-1"], third["ours Rank-1 low"]) == ("50.0000", "")
    assert (fourth["ours Rank-1"], fourth["ours FLOPs (G)"]) == ("", "9.0000")


@pytest.mark.parametrize("write", [write for _, write in FORMATS.values()])
def test_equal_tables_give_equal_bytes(table, write):
    assert write(table) == write(table)
    assert write(table).endswith("\n")


def test_a_table_without_paper_columns_has_no_head_for_them():
    table = ReportTable("Scores", "T", QuerySettings(), ("method",), (Row(("fpc",), RECIPE, ours=scores(0.5)),))
    assert "paper" not in to_text(table) + to_latex(table)
    assert [each.source for each in columns(table, lambda *_: "x")] == [Source.LABEL, Source.OURS, Source.OURS]


def test_columns_use_the_given_format(table):
    result = columns(table, lambda score, settled: f"{score.value}{settled}", nothing="none", pending="soon")
    assert result[2] == Column(Source.OURS, "ours: 50 % world", "Rank-1", ("0.625True", "none", "0.5False", "soon"))


@given(st.text(max_size=40))
def test_names_are_escaped_in_latex(text):
    escaped = latex(text)
    bare = re.sub(r"\\(?:text[a-z]+\{\}|[{}&%$#_])", "", escaped)
    assert not set(bare) & set("\\{}&%$#_~^")
    assert "\n" not in escaped


def test_a_row_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"Table 9: the row \('a',\) does not match"):
        ReportTable("Table 9", "T", QuerySettings(), ("x", "y"), (Row(("a",)),))
