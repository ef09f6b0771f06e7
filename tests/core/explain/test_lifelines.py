"""The life of single patches, on an encoding whose every number is known and on the small world's encoder."""

import numpy as np
import pytest
import torch

from fpc_core.config import DropStrategy, PruneSettings
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.explain.lifelines import SURVIVED, LivingRange, falls, fell_in, life_line, living_range
from fpc_core.explain.masks import survivors
from fpc_core.workspace import open_workspace
from tests.support.known_encoding import six_patches

RATES = (0.3, 0.5, 0.8, 1.0)


@pytest.fixture
def encoding():
    return six_patches()


def test_a_patch_is_followed_to_the_block_where_it_falls(encoding):
    first, second = life_line(encoding, 4)
    assert (first.block, first.rank, first.entered, first.kept) == (3, 3, 6, True)
    assert first.cutoff == pytest.approx(0.3)
    assert first.needed_keep_rate == 3 / 6
    assert (second.block, second.rank, second.entered, second.kept) == (6, 3, 4, False)
    assert second.cutoff == pytest.approx(0.2)
    assert [life.block for life in life_line(encoding, 1)] == [3]


def test_a_patch_outside_the_grid_is_refused(encoding):
    with pytest.raises(ValueError, match="patch 6 lies outside the 2 x 3 grid"):
        life_line(encoding, 6)


def test_every_patch_has_the_block_in_which_it_fell(encoding):
    assert fell_in(encoding).tolist() == [SURVIVED, 3, 3, SURVIVED, 6, SURVIVED]


@pytest.fixture(scope="module")
def encode(small_places):
    """Encodes one query of the small world for any settings."""
    workspace = open_workspace(small_places, "cpu")
    config = workspace.retriever.model.config
    image = to_tensor([resize_image(workspace.dataset.read(workspace.dataset.query[0]), config.image_size)], config)
    state = workspace.retriever.prepare(image, torch.tensor([0]))
    return lambda prune: workspace.retriever.encode(state, prune)


@pytest.mark.parametrize("strategy", list(DropStrategy))
def test_falls_are_what_the_encoder_drops_at_each_keep_rate(encode, strategy):
    prune = PruneSettings(0.8, strategy)
    fell = falls(encode, prune, RATES)
    assert fell.shape == (4, 128)
    assert (fell[-1] == SURVIVED).all()  # at keep rate 1 nothing falls
    for row, rate in zip(fell, RATES, strict=True):
        stages = survivors(encode(PruneSettings(rate, strategy)))
        assert ((row == SURVIVED) == stages[-1].ravel()).all()
        assert ((row == 3) == ~stages[0].ravel()).all()
        assert ((row == 6) == (stages[0] & ~stages[1]).ravel()).all()


def test_a_patch_that_falls_at_one_rate_ends_its_life_line_there(encode):
    encoding = encode(PruneSettings(0.5))
    for position, block in enumerate(fell_in(encoding).tolist()):
        last = life_line(encoding, position)[-1]
        assert last.kept == (block == SURVIVED)
        assert last.block == (9 if block == SURVIVED else block)


@pytest.mark.parametrize(
    ("fell", "expected"),
    [
        ([3, 6, SURVIVED, SURVIVED], LivingRange(0.5, 0.8)),
        ([SURVIVED] * 4, LivingRange(None, 0.3)),
        ([3, 3, 3, 9], LivingRange(1.0, None)),
        ([3, SURVIVED, 9, SURVIVED], LivingRange(0.8, 1.0, exceptions=(0.5,))),
        ([SURVIVED, 3, SURVIVED, SURVIVED], LivingRange(0.5, 0.8, exceptions=(0.3,))),
    ],
)
def test_the_rate_from_which_a_patch_lives_is_the_step_above_the_last_fall(fell, expected):
    assert living_range(RATES, np.array(fell)) == expected


@pytest.mark.parametrize(("rates", "fell"), [((0.8, 0.3), [3, 3]), ((0.3,), [3, 3]), ((), [])])
def test_fates_without_their_rates_are_refused(rates, fell):
    with pytest.raises(ValueError, match="keep_rates must be ascending"):
        living_range(rates, np.array(fell))
