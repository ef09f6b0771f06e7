"""The parts of a margin between two hits add up, for numbers by hand and for searches."""

import numpy as np
import pytest
import torch

from fpc_core.config import QuerySettings, Solver, TransportSettings
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.explain.margin import margin
from fpc_core.results import Match, Shortlist, Transport, TransportPlan
from fpc_core.workspace import open_workspace

GRID = (3, 2)  # Each row is a third of the image.
POSITIONS = np.array([5, 0, 1, 2, 3])  # Patch 4 was dropped.


def plan(row, *contributions):
    """Return a plan of unit cost.

    Args:
        row: The row of the gallery image.
        *contributions: The mass that each query patch moves, in the order of POSITIONS.
    """
    mass = np.zeros((5, 6), np.float32)
    mass[:, 0] = contributions
    return TransportPlan(row, mass, np.ones((5, 6), np.float32), POSITIONS)


def match(d_cos, d_emd):
    empty = np.zeros((2, 1), np.float32)
    transport = Transport(np.array(d_emd, np.float32), np.ones(2, int), *(empty,) * 5)
    return Match(Shortlist(np.array([7, 9]), np.array(d_cos, np.float32)), transport)


KNOWN = (
    match([0.25, 0.5], [0.5, 0.75]),
    (plan(7, 0.125, 0.125, 0.0, 0.125, 0.125), plan(9, 0.0, 0.25, 0.25, 0.125, 0.125)),
)


def test_the_margin_is_the_difference_of_d_split_into_parts():
    won = margin(*KNOWN, 0.5, GRID)
    assert (won.winner, won.loser) == (7, 9)
    assert (won.cosine, won.transport, won.total) == (0.125, 0.125, 0.25)
    assert (won.d_cos, won.d_emd) == ((0.25, 0.5), (0.5, 0.75))
    np.testing.assert_array_equal(won.patches, [[0.0625, 0.125], [0.0, 0.0], [np.nan, -0.0625]])
    np.testing.assert_array_equal(won.thirds, [0.1875, 0.0, -0.0625])


def test_the_winner_does_not_depend_on_the_order():
    result, plans = KNOWN
    for alpha in (0.0, 0.3, 1.0):
        one, other = margin(result, plans, alpha, GRID), margin(result, plans[::-1], alpha, GRID)
        assert (one.winner, one.loser, one.total) == (other.winner, other.loser, other.total)
        np.testing.assert_array_equal(one.patches, other.patches)


def test_winner_and_loser_change_at_the_swap_alpha():
    result, plans = match([0.25, 0.5], [0.75, 0.25]), KNOWN[1]
    assert margin(result, plans, 0.25, GRID).winner == 7
    assert margin(result, plans, 0.75, GRID).winner == 9


def test_d_emd_of_a_plan_that_moves_nothing_is_shared_equally():
    """The released solver sets D_EMD to 1 where no patch agrees."""
    won = margin(match([0.25, 0.5], [0.5, 1.0]), (KNOWN[1][0], plan(9, 0, 0, 0, 0, 0)), 0.5, GRID)
    assert won.transport == pytest.approx(np.nansum(won.patches)) == 0.25
    np.testing.assert_allclose(won.patches, [[0.0375, 0.1], [0.0375, 0.0375], [np.nan, 0.0375]])


def test_the_first_of_two_equal_hits_is_the_winner():
    won = margin(match([0.5, 0.5], [0.5, 0.5]), KNOWN[1], 0.4, GRID)
    assert (won.winner, won.total) == (7, 0.0)


def test_an_image_outside_the_shortlist_has_no_margin():
    with pytest.raises(ValueError, match="row 8 is not on the shortlist"):
        margin(KNOWN[0], (plan(7, 1, 0, 0, 0, 0), plan(8, 1, 0, 0, 0, 0)), 0.5, GRID)


@pytest.mark.parametrize("solver", list(Solver))
@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
def test_patches_and_parts_of_a_real_search_add_up_exactly(small_places, solver, alpha):
    workspace = open_workspace(small_places, "cpu")
    config = workspace.retriever.model.config
    image = to_tensor([resize_image(workspace.dataset.read(workspace.dataset.query[3]), config.image_size)], config)
    settings = QuerySettings(transport=TransportSettings(solver), alpha=alpha, neighbors=3, shortlist=12)
    trace = workspace.retriever.search(image, settings, torch.tensor([0]))
    first, second = (workspace.retriever.plan(trace.encoding, trace.match, index, settings) for index in (0, 5))
    won = margin(trace.match, (first, second), alpha, config.grid)
    distance = dict(zip(trace.by_distance.indices.tolist(), trace.by_distance.distance.tolist(), strict=True))
    assert won.total >= 0
    assert won.total == pytest.approx(distance[won.loser] - distance[won.winner], abs=1e-12)
    assert np.nansum(won.patches) == pytest.approx(won.transport, abs=1e-12)
    assert won.thirds.sum() == pytest.approx(won.transport, abs=1e-12)
    kept = np.zeros(128, bool)
    kept[trace.encoding.positions[0]] = True
    assert (np.isfinite(won.patches).ravel() == kept).all()
