"""View models of score tables and curves, without a running app."""

from dataclasses import replace

import pytest

from app.components.score_table.content import Group, picked_row, score_sheet
from app.evaluate.curves import curve_figure
from fpc_core.config import QuerySettings
from fpc_core.evaluation.metrics.bootstrap import Estimate
from fpc_core.evaluation.paper_tables.score_recipe import ScoreRecipe
from fpc_core.evaluation.paper_tables.table import MEASURES, OurScores, ReportTable, Row

RECIPE = ScoreRecipe()


def scores(value, settled=True):
    return OurScores(tuple(Estimate(value, value - 0.1, value + 0.1) for _ in MEASURES), 7, settled)


def table(*rows, **changes):
    options = {"labels": ("alpha",), "paper": (("Duke", "Rank-1"), ("Duke", "mAP"))} | changes
    return ReportTable("Fig. 4a", "Curve", QuerySettings(), rows=rows, **options)


FULL = table(
    Row(("0.0",), RECIPE, ours=scores(0.5)),
    Row(("0.4",), RECIPE, paper=(76.7, 72.8), ours=scores(0.7)),
    Row(("0.8",), RECIPE, ours=scores(0.6, settled=False)),
    Row(("1.0",), RECIPE),
    Row(("other",), paper=(42.0, None)),
    data="A world",
    rules=(3,),
)


def test_every_group_of_columns_names_its_source():
    sheet = score_sheet(FULL)
    assert sheet.groups == (Group("ours: A world", "ours", 2), Group("the paper's: Duke", "paper", 2))
    assert sheet.heads == (("Rank-1", "ours"), ("mAP", "ours"), ("Rank-1", "paper"), ("mAP", "paper"))


def test_scores_and_intervals_share_a_scale_per_table():
    sheet = score_sheet(FULL)
    first, second = sheet.rows[0].cells[0], sheet.rows[1].cells[0]
    assert (first.text, first.interval) == ("50.0", "40.0 – 60.0")
    assert first.bar == pytest.approx((0, 1 / 4, 1 / 2))  # On a scale from 40 to 80.
    assert second.bar == pytest.approx((1 / 2, 3 / 4, 1))
    assert sheet.scale == "Bars: 95 % intervals, from 40.0 to 80.0 %."


def test_unfinished_scores_show_progress_and_only_ours_have_bars():
    sheet = score_sheet(FULL)
    assert (sheet.rows[2].cells[0].text, sheet.rows[2].cells[0].note) == ("60.0", "7 queries so far")
    assert [cell.text for cell in sheet.rows[3].cells] == ["…", "…", "–", "–"]
    assert [cell.text for cell in sheet.rows[4].cells] == ["–", "–", "42.0", "–"]
    assert all(not cell.bar for row in sheet.rows[2:] for cell in row.cells)
    assert [row.ruled for row in sheet.rows] == [False, False, False, True, False]


def test_closed_forms_are_among_ours_without_an_interval():
    flops = table(Row(("1.0",), RECIPE, (20.784,), ours=scores(0.5)), computed=("FLOPs (G)",))
    sheet = score_sheet(flops)
    assert sheet.groups[0] == Group("ours: ", "ours", 3)
    assert (sheet.rows[0].cells[2].text, sheet.rows[0].cells[2].bar) == ("20.78", ())


def test_one_score_has_a_bar_and_no_score_has_no_scale():
    exact = OurScores(tuple(Estimate(1.0, 1.0, 1.0) for _ in MEASURES), 7, True)
    assert score_sheet(table(Row(("0.0",), RECIPE, ours=exact))).rows[0].cells[0].bar == (0.5, 0.5, 0.5)
    assert score_sheet(table(Row(("0.0",), RECIPE))).scale == ""


def test_rows_with_a_recipe_can_be_picked_and_no_others():
    sheet = score_sheet(FULL)
    assert [row.pick for row in sheet.rows] == ["Fig. 4a|0", "Fig. 4a|1", "Fig. 4a|2", "Fig. 4a|3", ""]
    assert picked_row("Fig. 4a|1", (FULL,)) == (FULL, 1)
    for pick in ("Fig. 4a|4", "Fig. 4a|9", "Fig. 4a|-1", "Table 9|0", "", "x"):
        assert picked_row(pick, (FULL,)) is None


def test_components_of_the_ablation_are_marks():
    marked = table(Row(("1", "yes", "no"), RECIPE), labels=("index", "S", "M"))
    assert score_sheet(marked).rows[0].labels == ("1", "✓", "–")


def test_curves_draw_settled_scores_and_the_papers_points():
    figure = curve_figure(replace(FULL, rows=FULL.rows[:4]))
    lines = {trace.name: trace for trace in figure.data if trace.name}
    assert set(lines) == {"Rank-1", "mAP", "Rank-1, the paper's (Duke)", "mAP, the paper's (Duke)"}
    assert (list(lines["Rank-1"].x), list(lines["Rank-1"].y)) == ([0.0, 0.4], [50.0, 70.0])
    assert (list(lines["mAP, the paper's (Duke)"].x), list(lines["mAP, the paper's (Duke)"].y)) == ([0.4], [72.8])
    band = figure.data[0]
    # The outline of the band follows the upper ends from left to right and the lower ends back.
    assert list(band.y) == pytest.approx([60, 80, 60, 40])
    assert lines["Rank-1"].line.dash != lines["mAP"].line.dash


def test_a_curve_without_scores_keeps_its_axis():
    figure = curve_figure(table(Row(("0.0",), RECIPE), Row(("1.0",), RECIPE)))
    assert [list(trace.x) for trace in figure.data if trace.name] == [[], []]
    assert figure.layout.xaxis.range == (-0.03, 1.03)
