"""Sinkhorn to step through: a toy that can be checked by hand, and the pair of the lesson, both at falling epsilon."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from fpc_core.matching.sinkhorn_trace import FittedSide, Scaling, scalings
from fpc_core.matching.transport import solve_exact

TOY_NAMES = ("head", "chest", "legs", "feet")
TOY_QUERY = (0.4, 0.3, 0.2, 0.1)  # a query whose lower half is hidden
TOY_GALLERY = (0.25, 0.25, 0.25, 0.25)
TOY_STEP = 0.1  # ground cost of parts one apart; two apart cost four times as much, three apart nine times
TOY_EPSILONS = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
PAIR_EPSILONS = (0.2, 0.1, 0.05, 0.02, 0.01, 0.005)
SETTLED = 1e-4  # L1 error at which a run ends
LONGEST = 600  # iterations, after which it ends unsettled


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A `Scaling` without its plan, which f and g give again. cost: sum of plan * ground cost."""

    iteration: int
    fitted: FittedSide
    f: np.ndarray
    g: np.ndarray
    error: float
    cost: float


@dataclass(frozen=True, eq=False)
class Run:
    """Sinkhorn at one epsilon, from the kernel on; of later iterations only some are kept."""

    epsilon: float
    snapshots: tuple[Snapshot, ...]

    @property
    def settled(self) -> bool:
        """Whether its last iteration met the tolerance."""
        return self.snapshots[-1].error <= SETTLED


@dataclass(frozen=True, eq=False)
class Problem:
    """One transport problem at falling epsilon, and its exact plan.

    cost: (M, N), a: (M,), b: (N,).  exact: (M, N) POT's plan.  start: place of the run and, in it, of the snapshot that
    are shown first.
    """

    cost: np.ndarray
    a: np.ndarray
    b: np.ndarray
    runs: tuple[Run, ...]
    exact: np.ndarray
    start: tuple[int, int]

    @property
    def exact_cost(self) -> float:
        """Of the plan without entropy."""
        return float((self.exact * self.cost).sum())


@dataclass(frozen=True, eq=False)
class Runs:
    """rows: original grid positions (M,) of the pair's query patches; its columns are the full grid."""

    toy: Problem
    pair: Problem
    rows: np.ndarray


@cache
def toy() -> Problem:
    """Four body parts: cost 0.1 (m - n)^2, so the cheapest plan moves nothing past anything else.

    By hand, from the top: head 0.25 stays and 0.15 goes one down; chest 0.1 stays and 0.2 goes one down; legs 0.05 stay
    and 0.15 go one down; feet 0.1 stay. D_EMD = 0.1 (0.15 + 0.2 + 0.15) = 0.05.
    """
    parts = np.arange(len(TOY_NAMES))
    cost = TOY_STEP * (parts[:, None] - parts[None, :]) ** 2.0
    return _problem(cost, np.array(TOY_QUERY), np.array(TOY_GALLERY), TOY_EPSILONS, halves=True, shown=(2, 0))


def pair(cost: np.ndarray, a: np.ndarray, b: np.ndarray, epsilon: float, iterations: int | None) -> Problem:
    """The pair of a search. cost: (M, N), a: (M,), b: (N,).

    epsilon: of the search, which is among the runs.  iterations: after how many its solver stopped, which is shown
    first; None for a solver that does not iterate so.
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
    a, b = a / a.sum(), b / b.sum()  # float32 marginals sum to 1 within rounding only
    at, iterations = shown
    runs = tuple(
        Run(epsilon, tuple(_kept(scalings(cost, a, b, epsilon), cost, halves, iterations if place == at else None)))
        for place, epsilon in enumerate(epsilons)
    )
    first = next(
        (place for place, each in enumerate(runs[at].snapshots) if each.iteration == iterations),
        len(runs[at].snapshots) - 1,
    )
    return Problem(cost, a, b, runs, solve_exact(cost, a, b)[0], (at, first))


def _kept(states: Iterator[Scaling], cost: np.ndarray, halves: bool, wanted: int | None) -> Iterator[Snapshot]:
    """The kernel, every row scaling of the first iterations, ever fewer later ones, and the last.

    halves: column scalings of the first iterations too.  wanted: an iteration to keep in any case.
    """
    moments = _moments()
    for state in states:
        done = state.fitted is FittedSide.ROWS and (
            (state.error <= SETTLED and state.iteration >= (wanted or 0)) or state.iteration == LONGEST
        )
        early = halves and state.iteration <= 4
        rows = state.fitted is not FittedSide.COLUMNS and (state.iteration in moments or state.iteration == wanted)
        if rows or early or done:
            paid = float((state.plan * cost).sum())
            yield Snapshot(state.iteration, state.fitted, state.f, state.g, state.error, paid)
        if done:
            return


@cache
def _moments() -> frozenset[int]:
    """0 to 6, then each about a quarter after the one before."""
    moments = [*range(7)]
    while moments[-1] < LONGEST:
        moments.append(max(moments[-1] + 1, round(1.25 * moments[-1])))
    return frozenset(moments)
