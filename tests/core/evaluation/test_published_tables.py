"""The published numbers agree with each other, so that a typing error would show as a contradiction."""

from __future__ import annotations

from itertools import pairwise

import pytest

from fpc_core.config import KEEP_RATES, MODEL_STRATEGIES, DropStrategy
from fpc_core.evaluation.paper_tables.published import (
    FIG_4_ALPHA,
    FIG_4_NEIGHBORS,
    TABLE_1,
    TABLE_2,
    TABLE_3,
    TABLE_4,
    TABLE_5,
    TABLE_6,
    TABLE_7,
    PublishedTable,
)

ALL = (TABLE_1, TABLE_2, TABLE_3, TABLE_4, TABLE_5, TABLE_6, TABLE_7, FIG_4_ALPHA, FIG_4_NEIGHBORS)
FPC_OCCLUDED_DUKE = (76.7, 72.8)


def row_of(table, name):
    return next(row for row in table.rows if row[0] == name)


def test_all_seven_tables_and_the_points_of_fig_4_exist():
    assert [table.name for table in ALL] == [*(f"Table {number}" for number in range(1, 8)), "Fig. 4a", "Fig. 4b"]


def test_scores_are_percentages():
    for table in ALL:
        for name in table.columns:
            if name.endswith(("Rank-1", "mAP")):
                assert all(value is None or 10 < value < 100 for value in table.column(name)), (table.name, name)


def test_fpc_has_one_result_on_occluded_duke_in_every_table():
    assert row_of(TABLE_1, "FPC")[1:3] == FPC_OCCLUDED_DUKE
    assert row_of(TABLE_3, 0.8)[1:3] == FPC_OCCLUDED_DUKE
    assert TABLE_4.rows[-1][-2:] == FPC_OCCLUDED_DUKE
    assert ("non_salient", 0.8, *FPC_OCCLUDED_DUKE) in TABLE_5.rows
    assert row_of(TABLE_7, "FPC")[1:] == FPC_OCCLUDED_DUKE


@pytest.mark.parametrize("method", ["PGFA", "HOReID", "FRT", "Yu et al."])
def test_other_methods_are_equal_in_tables_1_and_7(method):
    assert row_of(TABLE_1, method)[1:3] == row_of(TABLE_7, method)[1:]


def test_transreid_is_equal_in_tables_1_and_6():
    assert row_of(TABLE_1, "TransReID")[1:3] == row_of(TABLE_6, "TransReID")[1:3]


@pytest.mark.parametrize(
    ("table", "column", "margin"),
    [
        (TABLE_1, "Occluded-Duke Rank-1", 6.0),
        (TABLE_1, "Occluded-Duke mAP", 8.6),
        (TABLE_1, "Occluded-ReID mAP", 1.6),
        (TABLE_2, "Market-1501 mAP", 1.7),
        (TABLE_2, "DukeMTMC-reID Rank-1", 1.1),
    ],
)
def test_margins_stated_in_the_text_match(table, column, margin):
    *others, ours = table.column(column)
    assert ours - max(value for value in others if value is not None) == pytest.approx(margin)


def test_gains_printed_in_table_3_match():
    assert TABLE_3.column("keep rate") == KEEP_RATES
    gains = {"Rank-1": (0, 0.6, 0.7, -0.1, -1.5, -3.9), "mAP": (0, 0.4, 0.5, 0.1, -1.0, -3.0)}
    for name, expected in gains.items():
        values = TABLE_3.column(name)
        assert [value - values[0] for value in values] == pytest.approx(expected)


def test_ablation_gains_stated_in_the_text_match():
    rank_1, mean_ap = TABLE_4.column("Rank-1"), TABLE_4.column("mAP")
    assert [b - a for a, b in pairwise(rank_1)] == pytest.approx([1.2, 7.2, 0.9])
    assert [b - a for a, b in pairwise(mean_ap)] == pytest.approx([1.1, 11.5, 1.2])


def test_drop_strategies_start_equal_and_fall_with_the_keep_rate():
    for strategy in (DropStrategy.SALIENT, DropStrategy.RANDOM):
        rows = [row for row in TABLE_5.rows if row[0] == strategy]
        assert rows[0][1:] == (1.0, 76.0, 72.3)
        assert [row[1] for row in rows] == list(KEEP_RATES)
        assert all(earlier[2] > later[2] and earlier[3] > later[3] for earlier, later in pairwise(rows))
    assert {row[0] for row in TABLE_5.rows} == set(MODEL_STRATEGIES)


def test_an_unknown_column_is_refused_and_others_are_named():
    with pytest.raises(ValueError, match=r"no column 'Rank-5'; it has keep rate, Rank-1"):
        TABLE_3.column("Rank-5")


def test_a_row_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match="Table 9"):
        PublishedTable("Table 9", "", ("a", "b"), ((1,),))
