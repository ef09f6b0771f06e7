"""Heat maps of a sweep: readable colours, labels for screen readers, and the mark of the best cell."""

import numpy as np
import pytest

from app.components.sweep_heatmap.content import (
    DARK,
    LIGHT,
    MEASURES,
    cell_id,
    contrast,
    heatmap,
    parse_cell_id,
    summary,
)
from fpc_core.evaluation.metrics.flops import Flops
from fpc_core.evaluation.sweep.tables import SweepCell, best_cell
from fpc_core.evaluation.sweep.task import SweepGrid
from fpc_core.explain.overlay import viridis

BY_NAME = {measure.name: measure for measure in MEASURES}
GRID = SweepGrid((1.0, 0.5), (0.0, 0.4), (1, 10))
FLOPS = {1.0: Flops(4_000_000_000, 5_000_000_000), 0.5: Flops(2_000_000_000, 2_500_000_000)}


def cell(rate, alpha, neighbors, rank1=0.5, mean_ap=0.5, first=2.0, queries=4):
    return SweepCell(rate, alpha, neighbors, rank1, mean_ap, first, 1.0, FLOPS[rate], queries)


CELLS = [
    cell(1.0, 0.0, 1, mean_ap=0.2),
    cell(1.0, 0.0, 10, mean_ap=0.4),
    cell(1.0, 0.4, 10, mean_ap=0.6, first=1.5),
    cell(0.5, 0.0, 10, mean_ap=0.9, queries=1),
]


def shown(name, neighbors=10):
    counts = [FLOPS[rate].without_attention_products for rate in GRID.keep_rates]
    return heatmap(CELLS, GRID, counts, neighbors, BY_NAME[name], 4)


def test_rows_are_alphas_and_columns_keep_rates_with_their_flops():
    found = shown("mAP")
    assert found.rows == ("0", "0.4")
    assert [(each.name, each.flops, each.share) for each in found.columns] == [("1", "4.00", 1.0), ("0.5", "2.00", 0.5)]
    assert [[tile.text for tile in row] for row in found.tiles] == [["40.0", "90.0"], ["60.0", ""]]


def test_unknown_cells_of_an_unfinished_keep_rate_cannot_be_opened():
    found = shown("mAP")
    assert [each.note for each in found.columns] == ["", "1 of 4"]
    unknown = found.tiles[1][1]
    assert (unknown.id, unknown.background) == ("", "")
    assert unknown.label == "keep rate 0.5, alpha 0.4, K 10: not computed yet"


def test_the_best_cell_is_among_equally_complete_keep_rates():
    marked = [tile.id for row in shown("mAP").tiles for tile in row if tile.best]
    assert marked == ["1|0.4|10"]  # Keep rate 0.5 has a higher mAP, but only for one query.


def test_among_equals_the_cheaper_cell_is_the_best():
    equal = [cell(1.0, 0.0, 10), cell(0.5, 0.0, 10)]
    assert best_cell(equal, BY_NAME["Rank-1"].goodness) is equal[1]
    with pytest.raises(ValueError, match="empty"):
        best_cell([])


def test_colours_span_all_ks_and_brighter_is_better():
    found = shown("mAP")
    assert (found.worst, found.best) == ("20.0", "90.0")
    assert found.tiles[0][1].background == "#fde724"
    assert shown("mAP", 1).tiles[0][0].background == "#440154"
    ranks = shown("Mean rank")
    assert (ranks.worst, ranks.best) == ("2.0", "1.5")
    assert ranks.tiles[1][0].background == "#fde724"
    assert ranks.tiles[0][0].background == "#440154"


def test_a_map_of_equal_values_has_one_colour():
    assert {tile.background for row in shown("Median rank").tiles for tile in row if tile.id} == {"#fde724"}


def test_text_has_enough_contrast_on_every_colour():
    for red, green, blue in viridis(np.linspace(0, 1, 201)).round().astype(int).tolist():
        colour = f"#{red:02x}{green:02x}{blue:02x}"
        assert max(contrast(DARK, colour), contrast(LIGHT, colour)) >= 4.5


def test_contrast_is_that_of_wcag():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#ffffff", "#777777") == pytest.approx(4.48, abs=0.01)


def test_a_cell_summary_has_all_measures():
    tile = shown("mAP").tiles[1][0]
    assert tile.label == (
        "keep rate 1, alpha 0.4, K 10: mAP 60.0, the best shown; mAP 60.0, Rank-1 50.0, rank of the first true match "
        "1.5 (mean) and 1 (median), 4.00 GFLOPs"
    )
    assert summary(CELLS[2]) in tile.label


def test_a_cell_id_is_parsed_back():
    assert parse_cell_id(cell_id(cell(0.5, 0.4, 10))) == (0.5, 0.4, 10)
    with pytest.raises(ValueError, match=r"."):
        parse_cell_id("0.5|0.4")
