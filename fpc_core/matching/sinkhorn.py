"""Sinkhorn in scaling form with absorbed potentials, in numba for the CPU and in torch for CUDA.

The CPU version solves each candidate in fused passes, the CUDA version solves all candidates as a batch. Both minimise
<P, cost> - epsilon H(P) subject to P 1 = a, P^T 1 = b, P >= 0 (Eq. 5 to 9; Cuturi 2013) and maintain

    P = diag(u) K diag(v),   K = exp((f + g - cost) / epsilon)

where u and v are absorbed into the potentials f and g whenever they leave a safe range (Schmitzer 2019, "stabilized
sparse scaling"). Both marginals sum to 1, so the total flow is 1 (Eq. 9) and the inequalities of Eq. 7 and 8 hold with
equality. Every pass ends with the update of u, so the query marginal is exact up to rounding, and a candidate stops
when the L1 error of its gallery marginal is small enough. Patches of zero weight are excluded: their scaling is 0 and
their potential is -inf.
"""

from __future__ import annotations

import threading

import numba
import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from fpc_core.config import MAX_ITERATIONS
from fpc_core.runtime.interruption import checkpoint

_LANE = 16  # Number of float32 values in an AVX-512 register; kernel rows are padded to a multiple of it.
_FAR = 1e30  # This is larger than any potential.
_SAFE = 1e12  # Largest scaling, and inverse of the smallest scaling, that is safe in float32 products.
_CHECK_EVERY = 5  # Number of iterations of the batch between two convergence checks.
_MAX_CELLS = 2**32  # Maximum number of kernel cells per call of compiled code: half a second on two cores.
# Without OpenMP and TBB, numba's own thread pool ends the process if two threads call compiled code at once.
_numba_lock = threading.Lock()


def sinkhorn_cpu(
    cost: np.ndarray, a: np.ndarray, b: np.ndarray, epsilon: float, tolerance: float, max_iterations: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Solve all candidates with `sinkhorn_rows`, split into several calls if one would take too long to interrupt.

    Splitting does not change results, because the candidates of a call do not affect each other.

    Args:
        cost: (S, M, N) ground cost, contiguous float32.
        a: (S, M) query marginals, contiguous float32; rows sum to 1.
        b: (S, N) gallery marginals, contiguous float32; rows sum to 1.
        epsilon: Weight of the entropy term.
        tolerance: A candidate stops when the L1 error of its gallery marginal is at most this value.
        max_iterations: Maximum number of iterations, in 1..MAX_ITERATIONS.

    Returns:
        The results of `sinkhorn_rows`.

    Raises:
        ValueError: `max_iterations` is outside its range.
    """
    if not 1 <= max_iterations <= MAX_ITERATIONS:
        raise ValueError(f"max_iterations must be in 1..{MAX_ITERATIONS}, got {max_iterations}")
    count = len(cost)
    part_size = max(numba.get_num_threads(), _MAX_CELLS // (max_iterations * cost.shape[1] * (cost.shape[2] + _LANE)))
    parts = []
    for start in range(0, count, part_size):
        checkpoint()
        part = slice(start, start + part_size)
        with _numba_lock:
            parts.append(sinkhorn_rows(cost[part], a[part], b[part], epsilon, tolerance, max_iterations))
    if len(parts) == 1:
        return parts[0]
    distance, iterations, errors, f, g = (np.concatenate(each) for each in zip(*parts, strict=True))
    return distance, iterations, errors, f, g


@njit(cache=True, fastmath=True, parallel=True, nogil=True)
def sinkhorn_rows(  # noqa: PLR0912 - The pass is one function because numba would not inline its parts.
    cost: np.ndarray, a: np.ndarray, b: np.ndarray, epsilon: float, tolerance: float, max_iterations: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Solve each candidate with one fused pass per iteration.

    Args:
        cost: (S, M, N) ground cost, contiguous float32.
        a: (S, M) query marginals, contiguous float32; rows sum to 1.
        b: (S, N) gallery marginals, contiguous float32; rows sum to 1.
        epsilon: Weight of the entropy term.
        tolerance: A candidate stops when the L1 error of its gallery marginal is at most this value.
        max_iterations: Maximum number of iterations, in 1..MAX_ITERATIONS.

    Returns:
        Distances (S,), iterations (S,), L1 errors of the gallery marginals (S,), f (S, M) and g (S, N). f and g are
        finite everywhere; the caller sets them to -inf where the marginal is zero.
    """
    count, rows, columns = cost.shape
    padded = (columns + _LANE - 1) // _LANE * _LANE
    distance = np.zeros(count, np.float32)
    iterations = np.zeros(count, np.int64)
    errors = np.zeros(count, np.float32)
    f = np.zeros((count, rows), np.float32)
    g = np.zeros((count, columns), np.float32)
    for s in prange(count):
        kernel = np.zeros((rows, padded), np.float32)
        u, v = np.ones(rows, np.float32), np.zeros(padded, np.float32)
        column = np.zeros(padded, np.float32)
        for j in range(columns):
            v[j] = np.float32(1.0) if b[s, j] > 0 else np.float32(0.0)
        _rebuild(kernel, cost[s], f[s], g[s], a[s], b[s], epsilon)
        error = np.float32(_SAFE)
        step = 0
        while step < max_iterations:
            step += 1
            column[:] = 0
            large = np.float32(0.0)
            small = np.float32(_SAFE)
            for i in range(rows):  # One pass over the kernel computes row sums, u, and the column sums with the new u.
                if a[s, i] <= 0:
                    continue
                total = np.float32(0.0)
                for j in range(padded):
                    total += kernel[i, j] * v[j]
                weight = a[s, i] / max(total, np.float32(1e-30))
                u[i] = weight
                large, small = max(large, weight), min(small, weight)
                for j in range(padded):
                    column[j] += weight * kernel[i, j]
            error = np.float32(0.0)
            for j in range(columns):
                error += abs(v[j] * column[j] - b[s, j])
            if error <= tolerance or step == max_iterations:
                break
            for j in range(columns):
                if b[s, j] > 0:
                    v[j] = b[s, j] / max(column[j], np.float32(1e-30))
                    large, small = max(large, v[j]), min(small, v[j])
            if large > _SAFE or small < 1.0 / _SAFE:
                _absorb(u, v, f[s], g[s], a[s], b[s], epsilon)
                _rebuild(kernel, cost[s], f[s], g[s], a[s], b[s], epsilon)
        total_cost = np.float32(0.0)
        for i in range(rows):
            if a[s, i] > 0:
                share = np.float32(0.0)
                for j in range(columns):
                    share += kernel[i, j] * v[j] * cost[s, i, j]
                total_cost += u[i] * share
        distance[s] = total_cost
        iterations[s] = step
        errors[s] = error
        _absorb(u, v, f[s], g[s], a[s], b[s], epsilon)
    return distance, iterations, errors, f, g


@njit(cache=True, fastmath=True)
def _rebuild(
    kernel: np.ndarray, cost: np.ndarray, f: np.ndarray, g: np.ndarray, a: np.ndarray, b: np.ndarray, epsilon: float
) -> None:
    """Compute f such that the kernel of f and g has row sums a, and write f and this kernel into their arrays.

    This is the update of u in the log domain. For any epsilon, no entry exceeds the marginal of its row.

    Args:
        kernel: (M, padded) kernel, which is overwritten.
        cost: (M, N) ground cost.
        f: (M,) query potentials, which are overwritten.
        g: (N,) gallery potentials.
        a: (M,) query marginal.
        b: (N,) gallery marginal.
        epsilon: Weight of the entropy term.
    """
    scale = np.float32(1.0 / epsilon)
    allowed = np.where(b > 0, g, np.float32(-_FAR))  # This avoids branches in the loops below.
    for i in range(cost.shape[0]):
        if a[i] <= 0:
            continue
        peak = np.float32(-_FAR)
        for j in range(cost.shape[1]):
            peak = max(peak, allowed[j] - cost[i, j])
        total = np.float32(0.0)
        for j in range(cost.shape[1]):
            kernel[i, j] = _exp((allowed[j] - cost[i, j] - peak) * scale)
            total += kernel[i, j]
        for j in range(cost.shape[1]):
            kernel[i, j] *= a[i] / total
        f[i] = np.float32(epsilon) * np.log(a[i] / total) - peak


@njit(cache=True, inline="always")
def _exp(x: np.float32) -> np.float32:
    """Return e^x for x <= 0 in float32, with an error of at most 2e-7; x is clipped to at least -87.

    The polynomial and the split of x into n log 2 + r are those of expf in Cephes. This function is ten times faster
    than np.exp in numba, which calls libm for every number, because the compiler vectorises pure arithmetic.
    """
    x = max(x, np.float32(-87.0))
    n = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
    r = x - n * np.float32(0.693359375) + n * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    exponent = np.int32((np.int32(n) + np.int32(127)) << np.int32(23))
    power = exponent.view(np.float32)  # 2^n, built from the bits of its exponent.
    return (p * r * r + r + np.float32(1.0)) * power


@njit(cache=True, fastmath=True)
def _absorb(
    u: np.ndarray, v: np.ndarray, f: np.ndarray, g: np.ndarray, a: np.ndarray, b: np.ndarray, epsilon: float
) -> None:
    for i in range(len(f)):
        if a[i] > 0:
            f[i] += np.float32(epsilon) * np.log(max(u[i], np.float32(1e-37)))
        u[i] = 1
    for j in range(len(g)):
        if b[j] > 0:
            g[j] += np.float32(epsilon) * np.log(max(v[j], np.float32(1e-37)))
            v[j] = 1


def sinkhorn_batch(
    cost: Tensor, a: Tensor, b: Tensor, epsilon: float, tolerance: float, max_iterations: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Solve all candidates as a batch, for CUDA.

    Converged candidates are removed from the batch. Convergence is checked only every few iterations, because each
    check requires a synchronisation with the device.

    Args:
        cost: (S, M, N) float32 ground cost.
        a: (S, M) float32 query marginals; rows sum to 1.
        b: (S, N) float32 gallery marginals; rows sum to 1.
        epsilon: Weight of the entropy term.
        tolerance: A candidate stops when the L1 error of its gallery marginal is at most this value.
        max_iterations: Maximum number of iterations.

    Returns:
        Tensors with the same content as the arrays of `sinkhorn_rows`.
    """
    count = len(cost)
    on_a, on_b = a > 0, b > 0
    f = torch.zeros_like(a)
    g = torch.zeros_like(b)
    errors = torch.full((count,), torch.inf, device=cost.device)
    iterations = torch.zeros(count, dtype=torch.int64, device=cost.device)
    active = torch.arange(count, device=cost.device)
    done = 0  # Number of iterations, which is the same for all active candidates.
    while len(active):
        checkpoint()
        c, pa, pb, ma, mb = cost[active], a[active], b[active], on_a[active], on_b[active]
        go = g[active]
        fo = _row_potential(c, go, pa, mb, epsilon)
        kernel = _batch_kernel(c, fo, go, ma, mb, epsilon)
        v = mb.to(pb.dtype)
        steps = min(_CHECK_EVERY, max_iterations - done)
        for _ in range(steps):
            u = pa / (kernel @ v.unsqueeze(2)).squeeze(2).clamp_min(1e-30)
            column = (u.unsqueeze(1) @ kernel).squeeze(1)
            error = (v * column - pb).abs().sum(dim=1)
            settled = error <= tolerance
            v = torch.where(settled[:, None], v, pb / column.clamp_min(1e-30))  # Converged candidates do not change.
        # The last update is that of u, so that the query marginal is exact. The error belongs to this pair (u, v).
        u = pa / (kernel @ v.unsqueeze(2)).squeeze(2).clamp_min(1e-30)
        error = (v * (u.unsqueeze(1) @ kernel).squeeze(1) - pb).abs().sum(dim=1)
        f[active] = fo + epsilon * torch.where(ma, u.clamp_min(1e-37).log(), 0.0)
        g[active] = go + epsilon * torch.where(mb, v.clamp_min(1e-37).log(), 0.0)
        errors[active] = error
        done += steps
        iterations[active] = done
        if done >= max_iterations:
            break
        active = active[error > tolerance]
    plans = _batch_kernel(cost, f, g, on_a, on_b, epsilon)
    return (plans * cost).sum(dim=(1, 2)), iterations, errors, f, g


def _row_potential(cost: Tensor, g: Tensor, a: Tensor, on_b: Tensor, epsilon: float) -> Tensor:
    """Return f such that the kernel of f and g has row sums a, computed in the log domain.

    Args:
        cost: (S, M, N) ground cost.
        g: (S, N) gallery potentials.
        a: (S, M) query marginals.
        on_b: (S, N) bool, whether a gallery patch has weight.
        epsilon: Weight of the entropy term.

    Returns:
        (S, M) query potentials, 0 where `a` is 0.
    """
    exponent = ((g.unsqueeze(1) - cost) / epsilon).masked_fill(~on_b.unsqueeze(1), -torch.inf)
    return torch.where(a > 0, epsilon * (a.clamp_min(1e-37).log() - exponent.logsumexp(dim=2)), 0.0)


def _batch_kernel(cost: Tensor, f: Tensor, g: Tensor, on_a: Tensor, on_b: Tensor, epsilon: float) -> Tensor:
    exponent = (f.unsqueeze(2) + g.unsqueeze(1) - cost) / epsilon
    return exponent.masked_fill(~(on_a.unsqueeze(2) & on_b.unsqueeze(1)), -torch.inf).exp()
