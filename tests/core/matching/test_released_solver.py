"""Where no patch agrees, weights, similarity and plan of the released solver equal the released code's formulas."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from fpc_core.config import Solver, TransportSettings, Variant
from fpc_core.matching.transport import ground_cost, marginals, plan, solve

RELEASED = TransportSettings(solver=Solver.RELEASED)


def similarities(query_cls, query, gallery_cls, gallery):
    """Compute similarities as `utils/emd.py` of the released code does.

    Args:
        query_cls: `[cls]` (C,) of the query.
        query: Patches (M, C) of the query.
        gallery_cls: `[cls]` (S, C) of the candidates.
        gallery: Patches (S, N, C) of the candidates.

    Returns:
        Gallery weights (S, N), query weights (S, M) and similarities (S,).
    """
    query_cls, query = normalize(query_cls, dim=0), normalize(query, dim=1)
    gallery_cls, gallery = normalize(gallery_cls, dim=1), normalize(gallery, dim=2)
    cosine = gallery @ query.T  # Its shape is (S, N, M).
    kernel = torch.exp(-(1 - cosine) / 0.05)
    u, v = (gallery @ query_cls).relu(), (gallery_cls @ query.T).relu()
    u, v = (weights / (weights.sum(dim=1, keepdim=True) + 1e-7) for weights in (u, v))
    row, column = torch.ones_like(u), torch.ones_like(v)
    for _ in range(100):
        before = row
        row = u / (kernel @ column[..., None])[..., 0]
        column = v / (kernel.transpose(1, 2) @ row[..., None])[..., 0]
        if float((row - before).abs().mean()) < 0.1:
            break
    flow = row[:, :, None] * column[:, None, :] * kernel
    return u, v, torch.nan_to_num((flow * cosine).sum(dim=(1, 2)))


def scene(seed, disagreeing):
    """Make tokens of a query and six candidates.

    Args:
        seed: The seed of the random numbers.
        disagreeing: The side whose patches have no positive cosine with `[cls]` of the other image, in the pair
            of the query and candidate 2: "query", "gallery", "both" or "nobody".

    Returns:
        The arguments of `similarities`.
    """
    generator = torch.Generator().manual_seed(seed)
    query_cls, query, gallery_cls, gallery = (
        torch.randn(*shape, generator=generator) for shape in ((8,), (5, 8), (6, 8), (6, 7, 8))
    )
    query, gallery = query + 0.7 * query_cls, gallery + 0.7 * query_cls
    gallery_cls = gallery_cls + query_cls
    if disagreeing in ("query", "both"):  # The cosine of candidate 2's [cls] and any query patch becomes negative.
        gallery_cls[2] = -query_cls
        query = query - (query @ query_cls).clamp_max(0)[:, None] * query_cls * 1.1 / query_cls.square().sum()
    if disagreeing in ("gallery", "both"):
        gallery[2] -= (gallery[2] @ query_cls).clamp_min(0)[:, None] * query_cls * 1.1 / query_cls.square().sum()
    return query_cls, query, gallery_cls, gallery


@pytest.mark.parametrize("disagreeing", ["nobody", "query", "gallery", "both"])
@pytest.mark.parametrize("seed", range(4))
def test_weights_and_similarities_equal_the_released_code(disagreeing, seed):
    images = scene(seed, disagreeing)
    u, v, expected = similarities(*images)
    a, b = marginals(*images, Variant.RELEASED, Solver.RELEASED)
    torch.testing.assert_close(b, u, atol=1e-5, rtol=0)
    torch.testing.assert_close(a, v, atol=1e-5, rtol=0)
    result = solve(ground_cost(images[1], images[3]), a, b, RELEASED)
    np.testing.assert_allclose(1 - result.distance, expected, atol=1e-5)
    assert (float(expected[2]) == 0) == (disagreeing != "nobody")
    assert (bool(a[2].any()), bool(b[2].any())) == {
        "nobody": (True, True),
        "query": (False, True),
        "gallery": (True, False),
        "both": (False, False),
    }[disagreeing]


def test_a_plan_without_agreement_moves_nothing():
    images = scene(0, "query")
    cost = ground_cost(images[1], images[3])
    result = solve(cost, *marginals(*images, Variant.RELEASED, Solver.RELEASED), RELEASED)
    assert not plan(cost[2], result, 2, RELEASED).any()
    assert plan(cost[1], result, 1, RELEASED).sum() == pytest.approx(1, abs=1e-5)
    assert result.distance[2] == 1


@pytest.mark.parametrize("solver", [Solver.SINKHORN, Solver.EXACT])
def test_other_solvers_need_weight_and_get_equal_weights(solver):
    images = scene(0, "both")
    cost, (a, b) = ground_cost(images[1], images[3]), marginals(*images, Variant.RELEASED, solver)
    assert a[2].tolist() == pytest.approx([1 / 5] * 5)
    assert b[2].tolist() == pytest.approx([1 / 7] * 7)
    with pytest.raises(ValueError, match="query marginal must be non-negative and sum to 1"):
        solve(cost, torch.zeros_like(a), b, TransportSettings(solver=solver))


def test_partial_weights_are_refused_by_the_released_solver_too():
    images = scene(1, "nobody")
    a, b = marginals(*images, Variant.RELEASED, Solver.RELEASED)
    with pytest.raises(ValueError, match="gallery marginal must be non-negative and sum to 1"):
        solve(ground_cost(images[1], images[3]), a, b / 2, RELEASED)
