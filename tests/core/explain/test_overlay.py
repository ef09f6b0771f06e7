"""Dropped patches are marked in one of three styles, on the dropped patches only."""

import numpy as np
import pytest

from fpc_core.config import ModelConfig
from fpc_core.explain.overlay import PrunedStyle, mark_dropped

CONFIG = ModelConfig(image_size=(64, 32), stride=16, cameras=1, identities=2)  # The grid has 4 x 2 patches.


@pytest.fixture
def alive():
    grid = np.ones(CONFIG.grid, bool)
    grid[1:3, 0] = False
    return grid


def marked(style, alive, level):
    return mark_dropped(np.full((64, 32, 3), level, np.uint8), alive, CONFIG, style).astype(int)


def test_dim_mixes_the_patch_with_white(alive):
    image = marked(PrunedStyle.DIM, alive, 100)
    assert (image[16:48, :16] == round(100 * 0.18 + 255 * 0.82)).all()


@pytest.mark.parametrize("style", list(PrunedStyle))
def test_kept_patches_do_not_change_beyond_one_pixel(style, alive):
    image = marked(style, alive, 100)
    assert (image[:15] == 100).all()
    assert (image[49:] == 100).all()
    assert (image[:, 17:] == 100).all()


@pytest.mark.parametrize("style", [PrunedStyle.HATCH, PrunedStyle.OUTLINE])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_lines_are_visible_on_black_grey_and_white(style, level, alive):
    image = marked(style, alive, level)
    inside = image[16:48, :16]
    assert np.ptp(inside, axis=(0, 1)).max() > 60  # Lines differ from the rest of the patch.
    assert np.abs(inside - level).max() > 60  # Lines differ from the original image.


def test_an_outline_surrounds_neighbouring_patches_together(alive):
    image = marked(PrunedStyle.OUTLINE, alive, 0)
    amber = (image == (255, 176, 0)).all(axis=2)
    rows, columns = np.nonzero(amber)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (16, 47, 0, 15)
    assert not amber[31:33, 1:15].any()  # No line separates the two patches.


def test_nothing_is_drawn_without_dropped_patches():
    for style in PrunedStyle:
        assert (marked(style, np.ones(CONFIG.grid, bool), 90) == 90).all()
