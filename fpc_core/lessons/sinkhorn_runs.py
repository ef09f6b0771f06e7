"""Sinkhorn iterations to step through at decreasing epsilon, for a toy problem and for the images of the lesson."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from fpc_core.matching.sinkhorn_trace import FittedSide, Scaling, scalings
from fpc_core.matching.transport import solve_exact

TOY_NAMES = ("head", "chest", "legs", "feet")
TOY_QUERY = (0.4, 0.3, 0.2, 0.1)  # Weights of a query whose lower half is occluded.
TOY_GALLERY = (0.25, 0.25, 0.25, 0.25)
TOY_STEP = 0.1  # Ground cost between neighbouring body parts; costs grow with the squared distance.
TOY_EPSILONS = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
PAIR_EPSILONS = (0.2, 0.1, 0.05, 0.02, 0.01, 0.005)
SETTLED = 1e-4  # A run has converged when its L1 error is at most this value.
LONGEST = 600  # Maximum number of iterations of a run.


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A `Scaling` without the plan, which can be computed from f and g; `cost` is the sum of plan * ground cost."""

    iteration: int
    fitted: FittedSide
    f: np.ndarray
    g: np.ndarray
    error: float
    cost: float


@dataclass(frozen=True, eq=False)
class Run:
    """Snapshots of Sinkhorn at one epsilon: the kernel, the first iterations and some of the later ones."""

    epsilon: float
    snapshots: tuple[Snapshot, ...]

    @property
    def settled(self) -> bool:
        """Whether the run converged."""
        return self.snapshots[-1].error <= SETTLED


@dataclass(frozen=True, eq=False)
class Problem:
    """A transport problem with its Sinkhorn runs at decreasing epsilon and its exact plan.

    Attributes:
        cost: (M, N) ground cost.
        a: (M,) query marginal.
        b: (N,) gallery marginal.
        runs: One run per epsilon.
        exact: (M, N) exact plan, computed by POT.
        start: Indices of the run and the snapshot that are shown first.
    """

    cost: np.ndarray
    a: np.ndarray
    b: np.ndarray
    runs: tuple[Run, ...]
    exact: np.ndarray
    start: tuple[int, int]

    @property
    def exact_cost(self) -> float:
        """Cost of the exact plan."""
        return float((self.exact * self.cost).sum())


@dataclass(frozen=True, eq=False)
class Runs:
    """Sinkhorn runs to step through.

    Attributes:
        toy: Toy problem with four body parts.
        pair: Problem between the query and a hit.
        rows: (M,) grid positions of the query patches, which are the rows of the plans of `pair`.
    """

    toy: Problem
    pair: Problem
    rows: np.ndarray


@cache
def toy() -> Problem:
    """Return a toy problem with four body parts and the cost 0.1 (m - n)^2.

    The cheapest plan can be found from the top down. Of the head's weight, 0.25 stays and 0.15 moves down by one part.
    Of the chest's, 0.1 stays and 0.2 moves; of the legs', 0.05 stays and 0.15 moves; of the feet's, 0.1 stays.
    D_EMD = 0.1 (0.15 + 0.2 + 0.15) = 0.05.
    """
    parts = np.arange(len(TOY_NAMES))
    cost = TOY_STEP * (parts[:, None] - parts[None, :]) ** 2.0
    return _problem(cost, np.array(TOY_QUERY), np.array(TOY_GALLERY), TOY_EPSILONS, halves=True, shown=(2, 0))


def pair(cost: np.ndarray, a: np.ndarray, b: np.ndarray, epsilon: float, iterations: int | None) -> Problem:
    """Return the transport problem between the query and a hit of a search.

    Args:
        cost: (M, N) ground cost.
        a: (M,) query marginal.
        b: (N,) gallery marginal.
        epsilon: Epsilon of the search, for which a run is included.
        iterations: Number of iterations of the search's solver, after which the plan is shown first; None for solvers
            other than SINKHORN.
    """
    epsilons = tuple(sorted({*PAIR_EPSILONS, epsilon}, reverse=True))
    return _problem(cost, a, b, epsilons, halves=False, shown=(epsilons.index(epsilon), iterations))


def _problem(
    cost: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    epsilons: Sequence[float],
    *,
    halves: bool,
    shown: tuple[int, int | None],
) -> Problem:
    cost, a, b = (np.asarray(each, dtype=np.float64) for each in (cost, a, b))
    a, b = a / a.sum(), b / b.sum()  # Float32 marginals sum to 1 only up to rounding.
    shown_run, iterations = shown
    runs = tuple(
        Run(
            epsilon,
            tuple(_snapshots(scalings(cost, a, b, epsilon), cost, halves, iterations if index == shown_run else None)),
        )
        for index, epsilon in enumerate(epsilons)
    )
    first = next(
        (index for index, each in enumerate(runs[shown_run].snapshots) if each.iteration == iterations),
        len(runs[shown_run].snapshots) - 1,
    )
    return Problem(cost, a, b, runs, solve_exact(cost, a, b)[0], (shown_run, first))


def _snapshots(states: Iterator[Scaling], cost: np.ndarray, halves: bool, required: int | None) -> Iterator[Snapshot]:
    """Yield the kernel, the first row scalings, row scalings at growing intervals, and the last one.

    Args:
        states: Iterations of Sinkhorn.
        cost: (M, N) ground cost.
        halves: Whether to include the column scalings of the first iterations.
        required: Iteration that is always included; None for no such iteration.
    """
    moments = _moments()
    for state in states:
        last = state.fitted is FittedSide.ROWS and (
            (state.error <= SETTLED and state.iteration >= (required or 0)) or state.iteration == LONGEST
        )
        early = halves and state.iteration <= 4
        rows = state.fitted is not FittedSide.COLUMNS and (state.iteration in moments or state.iteration == required)
        if rows or early or last:
            total_cost = float((state.plan * cost).sum())
            yield Snapshot(state.iteration, state.fitted, state.f, state.g, state.error, total_cost)
        if last:
            return


@cache
def _moments() -> frozenset[int]:
    """Return the iterations to show: 0 to 6, then iterations that grow by about a quarter each."""
    moments = [*range(7)]
    while moments[-1] < LONGEST:
        moments.append(max(moments[-1] + 1, round(1.25 * moments[-1])))
    return frozenset(moments)
