"""Optimal transport between the kept patches of a query and all patches of gallery images (Eq. 5 to 9).

    minimise  sum_mn P_mn cost_mn   subject to  P 1 = a,  P^T 1 = b,  P >= 0

Shapes: M query patches, N gallery patches, S candidates. Plans are query x gallery.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from fpc_core.config import Solver, TransportSettings, Variant
from fpc_core.matching.sinkhorn import sinkhorn_batch, sinkhorn_cpu
from fpc_core.results import Transport
from fpc_core.runtime.interruption import checkpoint

_RELEASED_ITERATIONS = 100
_RELEASED_STOP = 0.1  # mean absolute change of the row scaling, over the whole call
MAX_PIVOTS = 1_000_000  # of the network simplex; POT's default of 100,000 is too small for 242 x 242


def ground_cost(query: Tensor, gallery: Tensor) -> Tensor:
    """Return 1 - cosine of every pair of patch tokens.

    Args:
        query: (M, C) patches of the query.
        gallery: (S, N, C) patches of the candidates.

    Returns:
        (S, M, N) in [0, 2].

    Raises:
        ValueError: The shapes do not fit.
    """
    if query.ndim != 2 or gallery.ndim != 3 or query.shape[1] != gallery.shape[2]:
        raise ValueError(
            f"query must be (M, C) and gallery (S, N, C), got {tuple(query.shape)} and {tuple(gallery.shape)}"
        )
    unit = torch.nn.functional.normalize(query, dim=1)
    # Dividing the products by the gallery norms avoids a normalised copy of all gallery tokens.
    norms = torch.linalg.vector_norm(gallery, dim=2).clamp_min_(1e-12)
    products = torch.matmul(unit, gallery.transpose(1, 2))
    return products.div_(norms.unsqueeze(1)).neg_().add_(1.0).clamp_(0.0, 2.0)


def marginals(
    query_cls: Tensor, query_patches: Tensor, gallery_cls: Tensor, gallery_patches: Tensor, variant: Variant
) -> tuple[Tensor, Tensor]:
    """Return the weights of the patches on both sides.

    Paper: max(0, <patch, mean patch of the other image>). Released: max(0, cosine of patch and `[cls]` of the other
    image), because the released code L2-normalises every token first. Each side is then divided by its sum. A side
    where no patch agrees with the other image gets equal weights.

    Args:
        query_cls: (C,).
        query_patches: (M, C).
        gallery_cls: (S, C).
        gallery_patches: (S, N, C).
        variant: Paper or released code.

    Returns:
        Query marginals (S, M) and gallery marginals (S, N); each row sums to 1.
    """
    if variant is Variant.PAPER:
        gallery_mean, query_mean = gallery_patches.mean(dim=1), query_patches.mean(dim=0)
        return _weights(gallery_mean @ query_patches.T), _weights(gallery_patches @ query_mean)
    # The length of a [cls] token is a common factor of its row and cancels in the weights.
    query_agreement = gallery_cls @ query_patches.T / torch.linalg.vector_norm(query_patches, dim=1)
    gallery_agreement = gallery_patches @ query_cls / torch.linalg.vector_norm(gallery_patches, dim=2)
    return _weights(query_agreement), _weights(gallery_agreement)


def solve(cost: Tensor, a: Tensor, b: Tensor, settings: TransportSettings) -> Transport:
    """Solve the transport from one query to S candidates.

    SINKHORN: the query marginal of every plan is exact to rounding, the gallery marginal to `settings.tolerance` unless
    `max_iterations` is reached first. EXACT: the linear programme (POT). RELEASED: see `_released`.

    Args:
        cost: (S, M, N) ground cost.
        a: (S, M) query marginals; rows sum to 1.
        b: (S, N) gallery marginals; rows sum to 1.
        settings: Solver and its parameters.

    Raises:
        ValueError: Shapes do not fit, values are not finite or not a distribution, or the solver fails.
    """
    _check(cost, a, b)
    if settings.solver is Solver.EXACT:
        return _exact(cost, a, b)
    if settings.solver is Solver.RELEASED:
        return _released(cost, a, b, settings.epsilon)
    a, b = a.float(), b.float()
    arguments = (settings.epsilon, settings.tolerance, settings.max_iterations)
    if cost.device.type == "cpu":
        values, query, gallery = (each.detach().float().contiguous().numpy() for each in (cost, a, b))
        distance, iterations, error, f, g = sinkhorn_cpu(values, query, gallery, *arguments)
    else:
        results = sinkhorn_batch(cost.float(), a, b, *arguments)
        distance, iterations, error, f, g = (each.cpu().numpy() for each in results)
    query, gallery = a.cpu().numpy(), b.cpu().numpy()
    f, g = np.where(query > 0, f, -np.inf), np.where(gallery > 0, g, -np.inf)
    if not np.isfinite(distance).all():
        raise ValueError(
            f"Sinkhorn lost its precision at epsilon {settings.epsilon}; raise epsilon or use solver=exact"
        )
    return Transport(distance, iterations, error, query, gallery, f, g)


def plan(cost: Tensor, transport: Transport, row: int, settings: TransportSettings) -> np.ndarray:
    """Return the plan of one candidate from its potentials; the exact solver solves again.

    Args:
        cost: (M, N) ground cost of that candidate.
        transport: Result of `solve`.
        row: Row of the candidate in `transport`.
        settings: The settings that `transport` was computed with.

    Returns:
        (M, N) float32.
    """
    a, b = transport.query_marginal[row], transport.gallery_marginal[row]
    values = cost.detach().double().cpu().numpy()
    if settings.solver is Solver.EXACT:
        return solve_exact(values, a, b)[0].astype(np.float32)
    f, g = (each[row].astype(np.float64) for each in (transport.query_potential, transport.gallery_potential))
    return np.exp((f[:, None] + g[None, :] - values) / settings.epsilon).astype(np.float32)


def solve_exact(cost: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, float, np.ndarray, np.ndarray]:
    """Solve one problem with POT's network simplex in float64.

    Args:
        cost: (M, N).
        a: (M,) query marginal, divided by its sum here.
        b: (N,) gallery marginal, likewise.

    Returns:
        Plan (M, N), distance, and dual variables (M,) and (N,).

    Raises:
        ValueError: The solver does not finish within `MAX_PIVOTS`.
    """
    import ot  # Imported here because it takes a second (it imports scikit-learn).

    a, b = a.astype(np.float64), b.astype(np.float64)
    flow, log = ot.emd(a / a.sum(), b / b.sum(), cost, numItermax=MAX_PIVOTS, log=True)
    if log["warning"]:  # The value of an unfinished solution is not the distance.
        raise ValueError(f"the exact solver did not finish ({log['warning']}); use solver=sinkhorn")
    return flow, float(log["cost"]), log["u"], log["v"]


def _weights(agreement: Tensor) -> Tensor:
    """Turn inner products (S, n) into non-negative weights (S, n) that sum to 1."""
    positive = agreement.float().clamp_min(0.0)
    total = positive.sum(dim=1, keepdim=True)
    return torch.where(total > 0, positive / total.clamp_min(1e-30), 1.0 / positive.shape[1])


def _exact(cost: Tensor, a: Tensor, b: Tensor) -> Transport:
    query, gallery = a.detach().float().cpu().numpy(), b.detach().float().cpu().numpy()
    distances, errors, potentials = [], [], []
    for values, weights_a, weights_b in zip(cost.detach().double().cpu().numpy(), query, gallery, strict=True):
        checkpoint()
        flow, distance, dual_a, dual_b = solve_exact(values, weights_a, weights_b)
        distances.append(distance)
        errors.append(max(np.abs(flow.sum(1) - weights_a).sum(), np.abs(flow.sum(0) - weights_b).sum()))
        potentials.append((dual_a, dual_b))
    f, g = (np.stack(side).astype(np.float32) for side in zip(*potentials, strict=True))
    iterations = np.zeros(len(distances), np.int64)
    return Transport(np.array(distances, np.float32), iterations, np.array(errors, np.float32), query, gallery, f, g)


def _released(cost: Tensor, a: Tensor, b: Tensor, epsilon: float) -> Transport:
    """Run the released code's loop, for parity: at most 100 plain iterations on exp(-cost / epsilon).

    It stops when the row scaling changes by less than 0.1 on average over the whole call, so a distance depends on
    which candidates share the call. Its plans are not normalised and its marginals hold only roughly: `marginal_error`
    is the error reached. Raises ValueError on overflow, where the released code returns a similarity of 0.
    """
    kernel = torch.exp(-cost.float() / epsilon).transpose(1, 2)  # (S, N, M): gallery x query, as released
    query, gallery = a.float().unsqueeze(2), b.float().unsqueeze(2)
    u, v = torch.ones_like(gallery), torch.ones_like(query)
    done = 0
    while done < _RELEASED_ITERATIONS:
        done += 1
        before = u
        u = gallery / (kernel @ v)
        v = query / (kernel.transpose(1, 2) @ u)
        if float((u - before).abs().mean()) < _RELEASED_STOP:
            break
    flow = u * kernel * v.transpose(1, 2)
    if not bool(torch.isfinite(flow).all()):
        raise ValueError(f"the released solver overflows at epsilon {epsilon}; raise epsilon or use solver=sinkhorn")
    distance = (flow * cost.transpose(1, 2)).sum(dim=(1, 2))
    errors = torch.maximum((flow.sum(2) - b).abs().sum(1), (flow.sum(1) - a).abs().sum(1))
    f, g = (epsilon * each.squeeze(2).log() for each in (v, u))
    numbers = (each.cpu().numpy() for each in (errors, a.float(), b.float(), f, g))
    return Transport(distance.cpu().numpy(), np.full(len(cost), done), *numbers)


def _check(cost: Tensor, a: Tensor, b: Tensor) -> None:
    if cost.ndim != 3 or a.shape != cost.shape[:2] or b.shape != (cost.shape[0], cost.shape[2]) or not cost.numel():
        shapes = ", ".join(str(tuple(each.shape)) for each in (cost, a, b))
        raise ValueError(f"cost must be (S, M, N), a (S, M) and b (S, N), none of them empty, got {shapes}")
    # Check reductions instead of full masks, with a single device-to-host transfer.
    sides = (part for each in (a, b) for part in (each.min(), (each.sum(dim=1) - 1).abs().max()))
    reductions = torch.stack([each.double() for each in (cost.sum(), *sides)]).cpu().tolist()
    total_cost, low_a, off_a, low_b, off_b = reductions
    for name, value in (("ground cost", total_cost), ("query marginal", off_a), ("gallery marginal", off_b)):
        if not math.isfinite(value):
            raise ValueError(f"the {name} contains NaN or Inf; check the tokens it was computed from")
    for name, low, off in (("query", low_a, off_a), ("gallery", low_b, off_b)):
        if low < 0 or off > 1e-3:
            raise ValueError(f"every {name} marginal must be non-negative and sum to 1; divide it by its sum")
