"""Partial transport, as in Eq. 6 to 9 of the paper, agrees with POT and never costs more than normalised marginals."""

import numpy as np
import ot.partial
import pytest

from benchmarks.partial_transport import partial_cost
from fpc_core.matching.transport import solve_exact


def problem(seed):
    rng = np.random.default_rng(seed)
    return 2 * rng.random((7, 9)), rng.random(7) * rng.uniform(0.3, 3), rng.random(9)


def test_one_patch_moves_to_the_cheapest_places_by_hand():
    """A weight of 0.5 moves 0.3 at cost 0.1 and 0.2 at cost 0.4, so it costs (0.03 + 0.08) / 0.5 = 0.22."""
    cost = np.array([[0.4, 0.1]])
    assert partial_cost(cost, np.array([0.5]), np.array([0.9, 0.3])) == pytest.approx(0.22)
    assert partial_cost(cost.T, np.array([0.9, 0.3]), np.array([0.5])) == pytest.approx(0.22)
    assert solve_exact(cost, np.array([0.5]), np.array([0.9, 0.3]))[1] == pytest.approx(0.75 * 0.4 + 0.25 * 0.1)


@pytest.mark.parametrize("seed", range(6))
def test_pots_partial_solver_agrees(seed):
    cost, a, b = problem(seed)
    total = min(a.sum(), b.sum())
    expected = ot.partial.partial_wasserstein2(a, b, cost, m=total) / total
    assert partial_cost(cost, a, b) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_partial_transport_costs_at_most_the_normalised_one(seed):
    """A normalised plan times the smaller total satisfies the inequalities of Eq. 7 and 8."""
    cost, a, b = problem(seed)
    assert partial_cost(cost, a, b) <= solve_exact(cost, a, b)[1] + 1e-12
    assert partial_cost(cost, a, b * a.sum() / b.sum()) == pytest.approx(solve_exact(cost, a, b)[1])
