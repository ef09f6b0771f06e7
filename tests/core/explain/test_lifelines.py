"""Lifelines of patches agree with an encoding with known numbers and with a small model."""

import numpy as np
import pytest
import torch

from fpc_core.config import MODEL_STRATEGIES, PruneSettings
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.explain.lifelines import SURVIVED, LivingRange, falls, fell_in, life_line, living_range
from fpc_core.explain.masks import survivors
from fpc_core.workspace import open_workspace
from tests.support.known_encoding import six_patches

RATES = (0.3, 0.5, 0.8, 1.0)


@pytest.fixture
def encoding():
    return six_patches()


def test_a_life_line_ends_at_the_block_that_drops_the_patch(encoding):
    first, second = life_line(encoding, 4)
    assert (first.block, first.rank, first.entered, first.kept) == (3, 3, 6, True)
    assert first.cutoff == pytest.approx(0.3)
    assert first.needed_keep_rate == 3 / 6
    assert (second.block, second.rank, second.entered, second.kept) == (6, 3, 4, False)
    assert second.cutoff == pytest.approx(0.2)
    assert [life.block for life in life_line(encoding, 1)] == [3]


def test_a_patch_outside_the_grid_is_refused(encoding):
    with pytest.raises(ValueError, match="patch 6 is outside the 2 x 3 grid"):
        life_line(encoding, 6)


def test_fell_in_gives_the_dropping_block_of_every_patch(encoding):
    assert fell_in(encoding).tolist() == [SURVIVED, 3, 3, SURVIVED, 6, SURVIVED]


@pytest.fixture(scope="module")
def encode(small_places):
    """Return a function that encodes one query with given settings."""
    workspace = open_workspace(small_places, "cpu")
    config = workspace.retriever.model.config
    image = to_tensor([resize_image(workspace.dataset.read(workspace.dataset.query[0]), config.image_size)], config)
    state = workspace.retriever.prepare(image, torch.tensor([0]))
    return lambda prune: workspace.retriever.encode(state, prune)


@pytest.mark.parametrize("strategy", MODEL_STRATEGIES)
def test_falls_are_what_the_encoder_drops_at_each_keep_rate(encode, strategy):
    prune = PruneSettings(0.8, strategy)
    fell = falls(encode, prune, RATES)
    assert fell.shape == (4, 128)
    assert (fell[-1] == SURVIVED).all()  # Nothing is dropped at keep rate 1.
    for row, rate in zip(fell, RATES, strict=True):
        stages = survivors(encode(PruneSettings(rate, strategy)))
        assert ((row == SURVIVED) == stages[-1].ravel()).all()
        assert ((row == 3) == ~stages[0].ravel()).all()
        assert ((row == 6) == (stages[0] & ~stages[1]).ravel()).all()


def test_life_line_and_falls_agree_at_one_keep_rate(encode):
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
def test_a_patch_survives_from_the_rate_above_its_last_drop(fell, expected):
    assert living_range(RATES, np.array(fell)) == expected


@pytest.mark.parametrize(("rates", "fell"), [((0.8, 0.3), [3, 3]), ((0.3,), [3, 3]), ((), [])])
def test_keep_rates_of_another_length_are_refused(rates, fell):
    with pytest.raises(ValueError, match="keep_rates must be ascending"):
        living_range(rates, np.array(fell))
