"""Single Sinkhorn scalings agree with numbers by hand, with the solver and with POT's exact plan."""

from itertools import islice, pairwise

import numpy as np
import ot
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fpc_core.config import TransportSettings
from fpc_core.matching.sinkhorn_trace import FittedSide, scalings
from fpc_core.matching.transport import plan, solve


def after(cost, a, b, epsilon, count, error=0.0):
    """Run Sinkhorn up to a row scaling.

    Args:
        cost: Costs (M, N).
        a: Row marginal (M,).
        b: Column marginal (N,).
        epsilon: The strength of the entropy.
        count: The number of row scalings at most.
        error: Stop at the first row scaling with at most this error.

    Returns:
        The state after that scaling.
    """
    for state in scalings(cost, a, b, epsilon):
        if state.fitted is FittedSide.ROWS and (state.iteration == count or state.error <= error):
            return state
    raise AssertionError


@st.composite
def problems(draw, zeros=False):
    rows, columns = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    cost = rng.uniform(0, 1, (rows, columns))
    a, b = rng.uniform(0.1, 1, rows), rng.uniform(0.1, 1, columns)
    if zeros:
        a[1:][rng.random(rows - 1) < 0.4] = 0
        b[1:][rng.random(columns - 1) < 0.4] = 0
    return cost, a / a.sum(), b / b.sum()


def test_the_first_steps_can_be_checked_by_hand():
    """Costs of 0 and 1 give K = [[1, 1/2], [1/2, 1]] at epsilon 1 / log 2."""
    cost, a, b = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([3 / 4, 1 / 4]), np.array([1 / 2, 1 / 2])
    start, rows, columns = islice(scalings(cost, a, b, 1 / np.log(2)), 3)
    assert start.plan == pytest.approx(np.array([[1, 1 / 2], [1 / 2, 1]]))
    assert rows.u == pytest.approx(np.array([1 / 2, 1 / 6]))  # u = a / (K 1), where K 1 = (3/2, 3/2).
    assert rows.plan == pytest.approx(np.array([[1 / 2, 1 / 4], [1 / 12, 1 / 6]]))
    assert rows.error == pytest.approx(1 / 6)  # The column sums are 7/12 and 5/12 instead of 1/2.
    assert columns.v == pytest.approx(np.array([6 / 7, 6 / 5]))
    assert columns.plan == pytest.approx(np.array([[3 / 7, 3 / 10], [1 / 14, 1 / 5]]))
    assert (start.iteration, rows.iteration, columns.iteration) == (0, 1, 1)


@given(problems(zeros=True), st.floats(0.02, 1))
def test_every_scaling_fits_its_side_and_errors_never_grow(problem, epsilon):
    cost, a, b = problem
    states = list(islice(scalings(cost, a, b, epsilon), 1, 41))
    for state in states:
        side, target = (1, a) if state.fitted is FittedSide.ROWS else (0, b)
        assert state.plan.sum(axis=side) == pytest.approx(target, abs=1e-9)
    for fitted in (FittedSide.ROWS, FittedSide.COLUMNS):
        errors = [state.error for state in states if state.fitted is fitted]
        assert all(later <= earlier + 1e-12 for earlier, later in pairwise(errors))


@given(problems(), st.floats(0.1, 1))
def test_the_marginals_converge_and_the_limit_is_the_solvers_plan(problem, epsilon):
    cost, a, b = problem
    last = after(cost, a, b, epsilon, 3000, error=1e-8)
    assert last.error <= 1e-8
    how = TransportSettings(epsilon=epsilon, tolerance=1e-6, max_iterations=3000)
    tensors = [torch.from_numpy(each.astype(np.float32)).unsqueeze(0) for each in (cost, a, b)]
    solved = solve(*tensors, how)
    assert plan(tensors[0][0], solved, 0, how) == pytest.approx(last.plan, abs=2e-5)


@given(problems(), st.floats(0.05, 1), st.integers(1, 12))
def test_iterates_are_those_of_the_solver(problem, epsilon, count):
    cost, a, b = problem
    mine = after(cost, a, b, epsilon, count)
    how = TransportSettings(epsilon=epsilon, tolerance=1e-12, max_iterations=count)
    tensors = [torch.from_numpy(each.astype(np.float32)).unsqueeze(0) for each in (cost, a, b)]
    solved = solve(*tensors, how)
    if solved.iterations[0] == count:  # The solver stops early if rounding leaves no error.
        assert solved.marginal_error[0] == pytest.approx(mine.error, abs=1e-5)
        assert plan(tensors[0][0], solved, 0, how) == pytest.approx(mine.plan, abs=1e-5)


@settings(max_examples=25)
@example(1956)  # This problem needs more than 3,000 iterations.
@given(st.integers(0, 2**32 - 1))
def test_as_epsilon_falls_the_plan_becomes_the_exact_one(seed):
    rng = np.random.default_rng(seed)
    cost, a = rng.uniform(0, 1, (4, 5)), np.full(4, 1 / 4)
    b = rng.uniform(0.2, 1, 5)
    b /= b.sum()
    exact = float((ot.emd(a, b, cost) * cost).sum())
    ends = [after(cost, a, b, epsilon, 100_000, error=1e-4) for epsilon in (0.3, 0.03, 0.003)]
    assert all(end.error <= 1e-4 for end in ends)  # A plan with larger errors may cost less than the exact one.
    above = [float((end.plan * cost).sum()) - exact for end in ends]
    assert above[0] > above[1] - 1e-4 > above[2] - 2e-4
    # An entropic plan costs at most epsilon log 20 more than the exact one, because log 20 bounds its entropy.
    assert -1e-3 < above[2] < 0.003 * np.log(20) + 1e-3


def test_at_a_tiny_epsilon_the_plan_equals_that_of_pot():
    cost = 0.1 * (np.arange(4)[:, None] - np.arange(4)[None, :]) ** 2.0
    a, b = np.array([0.4, 0.3, 0.2, 0.1]), np.full(4, 0.25)
    last = after(cost, a, b, 0.002, 5000, error=1e-6)
    assert last.plan == pytest.approx(ot.emd(a, b, cost), abs=1e-4)


@pytest.mark.parametrize(
    ("a", "b", "epsilon", "message"),
    [
        ([0.5, 0.5], [1.0], 0.1, "must have the shape of the marginals"),
        ([0.5, 0.6], [0.5, 0.5], 0.1, "the marginal a"),
        ([0.5, 0.5], [1.5, -0.5], 0.1, "the marginal b"),
        ([0.5, np.nan], [0.5, 0.5], 0.1, "the marginal a"),
        ([0.5, 0.5], [0.5, 0.5], 0.0, "epsilon must be positive, got 0.0"),
    ],
)
def test_an_invalid_transport_problem_is_refused(a, b, epsilon, message):
    with pytest.raises(ValueError, match=message):
        next(scalings(np.zeros((2, 2)), np.array(a), np.array(b), epsilon))
