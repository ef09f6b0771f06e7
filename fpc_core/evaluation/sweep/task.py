"""Sweeps over keep rate, alpha and K, which score all queries at every combination of their values.

Each keep rate is a pass (`engine/passes.py`), whose points are the combinations of alpha and K.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product

from fpc_core.config import ALPHAS, KEEP_RATES, QuerySettings
from fpc_core.data.datasets import Dataset, ImageRecord
from fpc_core.evaluation.engine.passes import Pass, PassTask, Point
from fpc_core.evaluation.engine.protocol import nothing_to
from fpc_core.retrieval import Retriever


@dataclass(frozen=True)
class SweepGrid:
    """Values of the three axes, each ascending or descending without repeats.

    Raises:
        ValueError: An axis is empty, unsorted or has repeats.
    """

    keep_rates: tuple[float, ...] = KEEP_RATES
    alphas: tuple[float, ...] = ALPHAS
    neighbors: tuple[int, ...] = (1, 5, 10, 20)

    def __post_init__(self) -> None:
        for name in ("keep_rates", "alphas", "neighbors"):
            values = getattr(self, name)
            if (
                not values
                or len(set(values)) != len(values)
                or list(values) not in (sorted(values), sorted(values)[::-1])
            ):
                raise ValueError(
                    f"{name} must have at least one value and be ascending or descending without repeats, got {values}"
                )


@dataclass(frozen=True, eq=False)
class SweepTask:
    """A sweep, whose grid replaces keep rate, alpha and K of the settings; all other settings apply to every cell.

    Raises:
        ValueError: The settings do not allow a value of the grid, or no query has a true match.
    """

    retriever: Retriever
    dataset: Dataset
    grid: SweepGrid
    settings: QuerySettings

    def __post_init__(self) -> None:
        for keep_rate in self.grid.keep_rates:
            self.pass_of(keep_rate)
        if not self.queries:
            raise ValueError(nothing_to("score", self.dataset))

    def pass_of(self, keep_rate: float) -> Pass:
        """Return the pass of a keep rate, with one point per combination of alpha and K; K varies fastest."""
        points = tuple(Point(alpha, neighbors) for alpha, neighbors in product(self.grid.alphas, self.grid.neighbors))
        return Pass(self.settings.with_keep_rate(keep_rate), points)

    def point_index(self, alpha: float, neighbors: int) -> int:
        """Return the index of a cell's point in its pass.

        Args:
            alpha: Alpha of the cell.
            neighbors: K of the cell.
        """
        return self.grid.alphas.index(alpha) * len(self.grid.neighbors) + self.grid.neighbors.index(neighbors)

    @cached_property
    def work(self) -> PassTask:
        """The passes over all queries with a true match; the protocol excludes other queries from all means."""
        passes = tuple(self.pass_of(rate) for rate in self.grid.keep_rates)
        return PassTask(self.retriever, self.dataset, self.dataset.query, passes).with_true_matches()

    @property
    def queries(self) -> tuple[ImageRecord, ...]:
        """The queries that are scored."""
        return self.work.queries

    @property
    def skipped(self) -> int:
        """Number of queries without a true match."""
        return len(self.dataset.query) - len(self.queries)
