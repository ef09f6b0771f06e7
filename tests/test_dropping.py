"""Table 5 and the shares of what was dropped: equal to single searches, printed beside the paper's figures."""

import numpy as np
import pytest
import torch

from fpc_core.config import DropStrategy, PruneSettings, QuerySettings
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.evaluation.dropping import average_shares, drop_strategies
from fpc_core.evaluation.protocol import ablation, score_features
from fpc_core.evaluation.report import drop_shares_text, table_4_text, table_5_text
from fpc_core.explain.masks import DropShares, Shares
from fpc_core.workspace import open_workspace

SETTINGS = QuerySettings(neighbors=3, shortlist=10, prune=PruneSettings(0.5, seed=7))
RATES = (1.0, 0.5)


@pytest.fixture(scope="module")
def space(small_places):
    return open_workspace(small_places, "cpu")


@pytest.fixture(scope="module")
def masks(space):
    """The left half of every query is person, the lower quarter of the right half an occluder."""
    mask = np.zeros((128, 64), np.uint8)
    mask[:, :32] = 1
    mask[96:, 32:] = 2
    return {record.path: mask for record in space.dataset.query}


@pytest.fixture(scope="module")
def cells(space, masks):
    return drop_strategies(space.retriever, space.dataset, SETTINGS, masks, keep_rates=RATES)


def cell(cells, strategy, rate):
    return next(each for each in cells if (each.strategy, each.keep_rate) == (strategy, rate))


def test_every_strategy_has_every_keep_rate_and_all_are_one_where_nothing_is_dropped(cells):
    assert [(each.strategy, each.keep_rate) for each in cells] == [(s, r) for s in DropStrategy for r in RATES]
    whole = [each.scores for each in cells if each.keep_rate == 1.0]
    assert whole[0] is whole[1] is whole[2]


@pytest.mark.parametrize("strategy", list(DropStrategy))
def test_scores_are_those_of_single_searches(space, cells, strategy):
    config = space.retriever.model.config
    features = []
    for place, record in enumerate(space.dataset.query):
        image = to_tensor([resize_image(space.dataset.read(record), config.image_size)], config)
        settings = QuerySettings(neighbors=3, shortlist=10, prune=PruneSettings(0.5, strategy, seed=7 + place))
        trace = space.retriever.search(image, settings, torch.tensor([record.camera]))
        features.append(trace.consolidation.feature)
    alone = score_features(np.stack(features), space.retriever, space.dataset)
    found = cell(cells, strategy, 0.5).scores
    np.testing.assert_allclose(found.average_precision, alone.average_precision)
    np.testing.assert_array_equal(found.first_match, alone.first_match)


def test_what_entered_the_first_block_is_the_whole_mask(cells):
    for strategy in DropStrategy:
        shares = cell(cells, strategy, 0.5).shares
        assert [(each.block, each.entered, each.dropped) for each in shares] == [(3, 128, 64), (6, 64, 32), (9, 32, 16)]
        entered = shares[0].of_entered
        assert (entered.person, entered.occluder, entered.background) == pytest.approx((0.5, 0.125, 0.375))
        assert sum(vars(shares[1].of_dropped).values()) == pytest.approx(1.0)
        # Half of the patches fell and half went on to the next block.
        assert (shares[0].of_dropped.person + shares[1].of_entered.person) / 2 == pytest.approx(0.5)


def test_salient_and_non_salient_dropping_part_the_patches_between_them(cells):
    """At keep rate 0.5 what one strategy drops at the first block is what the other keeps."""
    salient, non_salient = (cell(cells, each, 0.5).shares for each in (DropStrategy.SALIENT, DropStrategy.NON_SALIENT))
    assert salient[0].of_dropped.person == pytest.approx(non_salient[1].of_entered.person)


def test_without_masks_there_are_scores_alone(space):
    (found,) = drop_strategies(space.retriever, space.dataset, SETTINGS, keep_rates=(1.0,))[:1]
    assert found.shares == ()


def test_shares_are_averaged_over_images():
    def shares(person):
        return (DropShares(3, 4, 2, Shares(0.5, 0.25, 0.25), Shares(person, 0.0, 1 - person)),)

    (mean,) = average_shares([shares(0.25), shares(0.75)])
    assert mean == DropShares(3, 4, 2, Shares(0.5, 0.25, 0.25), Shares(0.5, 0.0, 0.5))
    assert average_shares([]) == ()


def test_the_papers_figures_stand_beside_ours_and_are_named_as_the_papers(space, cells):
    table_5 = table_5_text(cells).splitlines()
    ours = cell(cells, DropStrategy.SALIENT, 0.5).scores
    assert "the paper's: its own figures, ViT-B on Occluded-Duke" in table_5[0]
    assert table_5[1].split() == ["keep", "rate", "1.0", "0.5"]
    row = next(place for place, line in enumerate(table_5) if line.startswith("salient"))
    assert f"{100 * ours.rank1:.1f} / {100 * ours.mean_ap:.1f}" in table_5[row]
    assert table_5[row + 1].split("the paper's")[1].split() == ["76.0", "/", "72.3", "12.9", "/", "13.3"]
    table_4 = table_4_text(ablation(space.retriever, space.dataset, SETTINGS)).splitlines()
    assert "the paper's Rank-1" in table_4[1]
    assert table_4[2].split()[-2:] == ["67.4", "59.0"]
    assert table_4[5].split()[-2:] == ["76.7", "72.8"]


def test_shares_are_printed_for_each_strategy_and_block(cells):
    lines = drop_shares_text(cells, 0.5).splitlines()
    assert "at keep rate 0.5" in lines[0]
    assert len(lines) == 2 + 9 + 1
    assert lines[2].split()[:3] == ["non-salient", "3", "64/128"]
    assert lines[2].split()[-3:] == ["50.0", "12.5", "37.5"]
