import os
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fpc_core.config import Solver, TransportSettings, Variant
from fpc_core.matching import transport
from fpc_core.matching.sinkhorn import sinkhorn_batch
from fpc_core.matching.transport import ground_cost, marginals, plan, solve

TIGHT = TransportSettings(tolerance=1e-6, max_iterations=20_000)
EXACT = TransportSettings(solver=Solver.EXACT)


def problem(seed: int, candidates: int = 6, rows: int = 12, columns: int = 17, zeros: bool = False):
    generator = torch.Generator().manual_seed(seed)
    cost = 2 * torch.rand(candidates, rows, columns, generator=generator)
    a, b = torch.rand(candidates, rows, generator=generator), torch.rand(candidates, columns, generator=generator)
    if zeros:
        a[:, ::3], b[:, 1::4] = 0, 0
    return cost, a / a.sum(1, keepdim=True), b / b.sum(1, keepdim=True)


def normalised(weights: torch.Tensor) -> np.ndarray:
    values = weights.double().numpy()
    return values / values.sum()


@pytest.mark.parametrize("epsilon", [0.05, 0.02, 0.1])
def test_sinkhorn_agrees_with_pot(epsilon):
    cost, a, b = problem(0)
    result = solve(cost, a, b, TransportSettings(epsilon=epsilon, tolerance=1e-6, max_iterations=20_000))
    for row in range(len(cost)):
        expected = ot.sinkhorn(
            normalised(a[row]),
            normalised(b[row]),
            cost[row].double().numpy(),
            epsilon,
            stopThr=1e-12,
            numItermax=100_000,
        )
        assert result.distance[row] == pytest.approx((expected * cost[row].numpy()).sum(), abs=1e-4)
        np.testing.assert_allclose(plan(cost[row], result, row, TIGHT_AT[epsilon]), expected, atol=1e-4)


TIGHT_AT = {epsilon: TransportSettings(epsilon=epsilon) for epsilon in (0.05, 0.02, 0.1)}


@pytest.mark.parametrize("zeros", [False, True])
def test_the_exact_solver_agrees_with_emd2(zeros):
    cost, a, b = problem(1, zeros=zeros)
    result = solve(cost, a, b, EXACT)
    for row in range(len(cost)):
        expected = ot.emd2(normalised(a[row]), normalised(b[row]), cost[row].double().numpy())
        assert result.distance[row] == pytest.approx(expected, abs=1e-6)
        flow = plan(cost[row], result, row, EXACT)
        np.testing.assert_allclose(flow.sum(1), a[row], atol=1e-6)
        np.testing.assert_allclose(flow.sum(0), b[row], atol=1e-6)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-3, 1e-5])
def test_a_plan_has_both_marginals(tolerance):
    cost, a, b = problem(2, zeros=True)
    solver_settings = TransportSettings(tolerance=tolerance, max_iterations=20_000)
    result = solve(cost, a, b, solver_settings)
    assert (result.marginal_error <= tolerance).all()
    for row in range(len(cost)):
        flow = plan(cost[row], result, row, solver_settings)
        assert np.abs(flow.sum(1) - a[row].numpy()).sum() < 1e-5
        assert np.abs(flow.sum(0) - b[row].numpy()).sum() == pytest.approx(result.marginal_error[row], abs=1e-5)
        assert (flow * cost[row].numpy()).sum() == pytest.approx(result.distance[row], abs=1e-5)
        assert flow.min() >= 0
        assert (flow[a[row].numpy() == 0] == 0).all()
        assert (flow[:, b[row].numpy() == 0] == 0).all()


def test_every_candidate_stops_by_itself():
    cost, a, b = problem(3)
    together = solve(cost, a, b, TIGHT)
    assert len(set(together.iterations.tolist())) > 1
    alone = solve(cost[2:3], a[2:3], b[2:3], TIGHT)
    assert alone.iterations[0] == together.iterations[2]
    assert alone.distance[0] == together.distance[2]


def test_reaching_the_iteration_limit_is_reported():
    cost, a, b = problem(4)
    result = solve(cost, a, b, TransportSettings(epsilon=0.01, tolerance=1e-6, max_iterations=3))
    assert (result.iterations == 3).all()
    assert (result.marginal_error > 1e-6).all()


@pytest.mark.parametrize("epsilon", [0.005, 0.002, 0.001])
def test_small_epsilon_stays_finite_and_close_to_exact(epsilon):
    cost, a, b = problem(5, zeros=True)
    result = solve(cost, a, b, TransportSettings(epsilon=epsilon, tolerance=1e-3, max_iterations=50_000))
    exact = solve(cost, a, b, EXACT)
    assert np.isfinite(result.marginal_error).all()
    np.testing.assert_allclose(result.distance, exact.distance, atol=5 * epsilon + 2e-3)


@pytest.mark.parametrize("epsilon", [0.05, 0.005])
def test_the_batched_form_for_cuda_agrees_with_the_fused_pass(epsilon):
    cost, a, b = problem(6, zeros=True)
    fused = solve(cost, a, b, TransportSettings(epsilon=epsilon, tolerance=1e-6, max_iterations=20_000))
    distance, _, error, f, g = (each.numpy() for each in sinkhorn_batch(cost, a, b, epsilon, 1e-6, 20_000))
    assert (error <= 1e-6).all()
    np.testing.assert_allclose(distance, fused.distance, atol=2e-5)
    on = (a.numpy() > 0)[:, :, None] & (b.numpy() > 0)[:, None, :]
    both = [
        np.where(on, x[:, :, None] + y[:, None, :], 0)
        for x, y in ((f, g), (fused.query_potential, fused.gallery_potential))
    ]
    np.testing.assert_allclose(both[0], both[1], atol=1e-3)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 9),
    columns=st.integers(1, 40),
    seed=st.integers(0, 10_000),
    kind=st.sampled_from(["random", "zeros", "identical", "extreme", "one-hot"]),
    epsilon=st.sampled_from([0.05, 0.02]),
)
def test_degenerate_problems_still_balance(rows, columns, seed, kind, epsilon):
    cost, a, b = problem(seed, 3, rows, columns)
    if kind == "zeros":
        a[:, 1:] *= torch.rand(a[:, 1:].shape) > 0.7
        b[:, 1:] *= torch.rand(b[:, 1:].shape) > 0.7
    elif kind == "identical":
        cost[:] = 0.25
    elif kind == "extreme":
        cost = (cost > 1).float() * 2
    elif kind == "one-hot":
        a[:], b[:] = 0, 0
        a[:, -1], b[:, 0] = 1, 1
    a, b = a / a.sum(1, keepdim=True), b / b.sum(1, keepdim=True)
    result = solve(cost, a, b, TransportSettings(epsilon=epsilon, max_iterations=20_000))
    exact = solve(cost, a, b, EXACT)
    assert (result.marginal_error <= 1e-3).all()
    # Entropy can only raise the cost; the tolerance of 1e-3 changes it by at most 1e-3 times the largest cost.
    assert (result.distance >= exact.distance - 2.1e-3).all()
    assert (result.distance <= exact.distance + epsilon * np.log(rows * columns + 1) + 2.1e-3).all()


def test_ground_cost_is_one_minus_the_cosine():
    query, gallery = torch.randn(4, 8), torch.randn(3, 5, 8)
    expected = 1 - torch.nn.functional.cosine_similarity(query[None, :, None], gallery[:, None], dim=-1)
    torch.testing.assert_close(ground_cost(query, gallery), expected, atol=1e-6, rtol=0)
    assert ground_cost(query, -query[None]).diagonal(dim1=1, dim2=2).allclose(torch.tensor(2.0))


@pytest.mark.parametrize("variant", list(Variant))
def test_marginals_follow_their_definition(variant):
    torch.manual_seed(0)
    query_cls, query, gallery_cls, gallery = (torch.randn(*shape) for shape in ((8,), (4, 8), (3, 8), (3, 5, 8)))
    a, b = marginals(query_cls, query, gallery_cls, gallery, variant)

    def share(patch, other_cls, other_patches):
        if variant is Variant.PAPER:
            return max(0.0, float(patch @ other_patches.mean(0)))
        return max(0.0, float(torch.cosine_similarity(patch, other_cls, dim=0)))

    for s in range(3):
        raw_a = torch.tensor([share(patch, gallery_cls[s], gallery[s]) for patch in query])
        raw_b = torch.tensor([share(patch, query_cls, query) for patch in gallery[s]])
        torch.testing.assert_close(a[s], raw_a / raw_a.sum() if raw_a.sum() > 0 else torch.full((4,), 1 / 4))
        torch.testing.assert_close(b[s], raw_b / raw_b.sum() if raw_b.sum() > 0 else torch.full((5,), 1 / 5))


def test_an_image_without_agreement_gets_equal_weights():
    patches = torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    a, b = marginals(torch.tensor([-1.0, 0.0]), patches, torch.tensor([[-1.0, 0.0]]), patches[None], Variant.RELEASED)
    assert a.tolist() == [[0.5, 0.5]]
    assert b.tolist() == [[0.5, 0.5]]


@pytest.mark.parametrize("solver", list(Solver))
def test_invalid_input_is_named(solver):
    cost, a, b = problem(7)
    solver_settings = TransportSettings(solver=solver)
    with pytest.raises(ValueError, match=r"cost must be \(S, M, N\)"):
        solve(cost, b, a, solver_settings)
    with pytest.raises(ValueError, match="ground cost contains NaN or Inf"):
        solve(cost * float("nan"), a, b, solver_settings)
    with pytest.raises(ValueError, match="gallery marginal must be non-negative and sum to 1"):
        solve(cost, a, 2 * b, solver_settings)


@pytest.mark.parametrize("solver", list(Solver))
def test_tensors_that_require_grad_are_detached(solver):
    solver_settings = TransportSettings(solver=solver)
    plain = solve(*problem(9), solver_settings)
    tracked = solve(*(each.requires_grad_() for each in problem(9)), solver_settings)
    for name in ("distance", "marginal_error", "query_marginal", "gallery_potential"):
        np.testing.assert_array_equal(getattr(tracked, name), getattr(plain, name))


@pytest.mark.parametrize("solver", list(Solver))
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_results_have_the_documented_type_for_any_input(solver, dtype):
    result = solve(*(each.to(dtype) for each in problem(10)), TransportSettings(solver=solver))
    types = {each.name: getattr(result, each.name).dtype for each in fields(result)}
    assert types.pop("iterations") == np.int64
    assert set(types.values()) == {np.dtype(np.float32)}


def test_the_released_loop_refuses_overflow():
    cost, a, b = problem(8)
    with pytest.raises(ValueError, match="released solver overflows"):
        solve(cost + 0.5, a, b, TransportSettings(solver=Solver.RELEASED, epsilon=0.005))


def test_an_unfinished_exact_solution_is_an_error(monkeypatch):
    monkeypatch.setattr(transport, "MAX_PIVOTS", 3)
    with pytest.warns(UserWarning, match="numItermax"), pytest.raises(ValueError, match="use solver=sinkhorn"):
        solve(*problem(3), EXACT)


def test_parallel_exact_solves_keep_the_warning_filters(monkeypatch):
    both, before, real = threading.Barrier(2), list(warnings.filters), ot.emd

    def together(*arguments, **options):
        both.wait(10)
        result = real(*arguments, **options)
        both.wait(10)
        return result

    monkeypatch.setattr(ot, "emd", together)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda seed: solve(*problem(seed, candidates=1), EXACT), (0, 1)))
    assert warnings.filters == before


def test_two_threads_can_solve_with_any_numba_threading_layer():
    """The threading layer "workqueue", common on Windows and macOS, ends the process on a concurrent call."""
    program = """
import threading, torch
from fpc_core.config import TransportSettings
from fpc_core.matching.transport import solve
cost = torch.rand(40, 60, 80)
a, b = torch.full((40, 60), 1 / 60), torch.full((40, 80), 1 / 80)
work = lambda: [solve(cost, a, b, TransportSettings(tolerance=1e-5)) for _ in range(5)]
threads = [threading.Thread(target=work) for _ in range(4)]
[each.start() for each in threads]; [each.join() for each in threads]
print("all ended")
"""
    environment = os.environ | {"NUMBA_THREADING_LAYER": "workqueue"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "all ended", done.stderr
