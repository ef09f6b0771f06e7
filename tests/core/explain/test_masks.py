"""The patch grids of an encoding have the known positions, shares and gaps."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fpc_core.config import ModelConfig, PruneSettings
from fpc_core.explain.masks import survivors, to_grid
from fpc_core.explain.patch_contents import Shares, drop_shares, patch_areas
from fpc_core.model.encoder import SparseEncoder
from fpc_core.results import Encoding
from tests.support.known_encoding import six_patches, stage


@pytest.fixture
def encoding():
    return six_patches()


def test_survivors_are_at_their_original_positions(encoding):
    first, second = survivors(encoding)
    assert first.tolist() == [[True, False, False], [True, True, True]]
    assert second.tolist() == [[True, False, False], [True, False, True]]


def test_dropped_patches_show_person_occluder_and_background(encoding):
    person = np.array([[1.0, 0.5, 0.0], [0.0, 0.0, 0.0]])
    occluder = np.array([[0.0, 0.0, 1.0], [0.0, 0.25, 0.0]])
    first, second = drop_shares(encoding, person, occluder)
    assert (first.block, first.entered, first.dropped) == (3, 6, 2)
    assert first.of_dropped == Shares(1 / 4, 1 / 2, 1 / 4)  # The upper row lost its second and third patch.
    assert (first.of_entered.person, first.of_entered.occluder) == pytest.approx((1.5 / 6, 1.25 / 6))
    assert (second.block, second.entered, second.dropped) == (6, 4, 1)
    assert second.of_dropped == Shares(0.0, 1 / 4, 3 / 4)
    assert second.of_entered == Shares(1 / 4, 1 / 16, 11 / 16)


def test_without_dropped_patches_shares_are_nan(encoding):
    kept_all = stage(3, [0, 1], [0.5, 0.1], [0, 1])
    (shares,) = drop_shares(
        Encoding(torch.zeros(1, 3, 8), (kept_all,), (1, 2), PruneSettings(1.0, blocks=(3,))),
        np.zeros((1, 2)),
        np.zeros((1, 2)),
    )
    assert shares.dropped == 0
    assert math.isnan(shares.of_dropped.person)
    assert shares.of_entered == Shares(0.0, 0.0, 1.0)


def test_a_patch_counts_the_area_of_its_pixels():
    """The mask has half the size of the model's input, so a patch of 4 x 4 pixels is 2 x 2 pixels of the mask."""
    mask = np.array([[1, 1, 0, 0], [1, 2, 0, 3]], dtype=np.uint8)
    whole = ModelConfig(image_size=(4, 8), patch_size=4, stride=4, width=8, heads=1)
    person, occluder = patch_areas(mask, whole)
    assert person.tolist() == [[3 / 4, 0.0]]
    assert occluder.tolist() == [[1 / 4, 1 / 4]]  # 3 marks an occluder in front of the person.
    overlapping = ModelConfig(image_size=(4, 8), patch_size=4, stride=2, width=8, heads=1)
    person, occluder = patch_areas(mask, overlapping)
    assert person.tolist() == [[3 / 4, 1 / 4, 0.0]]
    assert occluder.tolist() == [[1 / 4, 1 / 4, 1 / 4]]


def test_values_are_scattered_and_gaps_are_nan():
    grid = to_grid(np.array([1.0, 2.0]), np.array([3, 0]), (2, 2))
    np.testing.assert_array_equal(grid, [[2.0, np.nan], [np.nan, 1.0]])


@given(st.floats(0.05, 1.0))
def test_every_block_keeps_the_rounded_up_share_of_its_input(keep_rate):
    torch.manual_seed(0)
    encoder = SparseEncoder(ModelConfig(stride=16, width=16, heads=2, cameras=0, identities=2)).eval()
    prune = PruneSettings(keep_rate)
    with torch.inference_mode():
        stages = encoder.finish(encoder.prefix(torch.zeros(1, 3, 256, 128), None, 3), prune).stages
    entered = 128
    for each in stages:
        assert each.kept.shape[1] == math.ceil(keep_rate * entered)
        entered = each.kept.shape[1]
