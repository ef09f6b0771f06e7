"""The shares of person, occluder and background among dropped patches, checked on masks with known areas."""

from dataclasses import replace

import numpy as np
import pytest

from fpc_core.config import DropStrategy, PruneSettings
from fpc_core.evaluation.failure_analysis.dropped_patches import average_shares, dropped_by_strategy, dropped_text
from fpc_core.explain.patch_contents import DropShares, Shares
from fpc_core.workspace import open_workspace

PRUNE = PruneSettings(0.5, seed=7)


@pytest.fixture(scope="module")
def workspace(small_places):
    return open_workspace(small_places, "cpu")


@pytest.fixture(scope="module")
def masks(workspace):
    """Return masks with the person in the left half and an occluder in the lower quarter of the right half."""
    mask = np.zeros((128, 64), np.uint8)
    mask[:, :32] = 1
    mask[96:, 32:] = 2
    return {record.path: mask for record in workspace.dataset.query}


@pytest.fixture(scope="module")
def dropped(workspace, masks):
    return dropped_by_strategy(workspace.retriever, workspace.dataset, PRUNE, masks)


def test_the_patches_entering_the_first_block_show_the_whole_mask(dropped):
    for shares in dropped.values():
        assert [(each.block, each.entered, each.dropped) for each in shares] == [(3, 128, 64), (6, 64, 32), (9, 32, 16)]
        entered = shares[0].of_entered
        assert (entered.person, entered.occluder, entered.background) == pytest.approx((0.5, 0.125, 0.375))
        assert sum(vars(shares[1].of_dropped).values()) == pytest.approx(1.0)
        # Half of the patches were dropped and half continued to the next block.
        assert (shares[0].of_dropped.person + shares[1].of_entered.person) / 2 == pytest.approx(0.5)


def test_salient_and_non_salient_dropping_are_complementary(dropped):
    """At keep rate 0.5, one strategy drops in the first block exactly the patches that the other keeps."""
    salient, non_salient = dropped[DropStrategy.SALIENT], dropped[DropStrategy.NON_SALIENT]
    assert salient[0].of_dropped.person == pytest.approx(non_salient[1].of_entered.person)


def test_queries_without_a_mask_are_left_out(workspace, masks, dropped):
    progress, path = [], workspace.dataset.query[2].path
    one = dropped_by_strategy(
        workspace.retriever, workspace.dataset, PRUNE, {path: masks[path]}, lambda *at: progress.append(at)
    )
    assert progress == [(1, 1)]
    alone = replace(workspace.dataset, query=workspace.dataset.query[2:3])
    assert one == dropped_by_strategy(workspace.retriever, alone, PRUNE, masks)
    assert one != dropped


def test_shares_are_averaged_over_images():
    def shares(person):
        return (DropShares(3, 4, 2, Shares(0.5, 0.25, 0.25), Shares(person, 0.0, 1 - person)),)

    (mean,) = average_shares([shares(0.25), shares(0.75)])
    assert mean == DropShares(3, 4, 2, Shares(0.5, 0.25, 0.25), Shares(0.5, 0.0, 0.5))
    assert average_shares([]) == ()


def test_shares_are_printed_for_each_strategy_and_block(dropped):
    lines = dropped_text(dropped, 0.5).splitlines()
    assert "at keep rate 0.5" in lines[0]
    assert len(lines) == 2 + 9 + 1
    assert lines[2].split()[:3] == ["non-salient", "3", "64/128"]
    assert lines[2].split()[-3:] == ["50.0", "12.5", "37.5"]
