"""A sweep in the background: shared by the visitors who ask for the same, and what a page may know of it any time."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

from app.background import Steps, Worker
from app.errands import Errand, Stand
from fpc_core.evaluation.sweep import SweepColumn, SweepTask, run_sweep
from fpc_core.evaluation.sweep_store import SweepStore


@dataclass(frozen=True)
class Look(Stand):
    """A sweep at one moment; done and total count queries times keep rates."""

    columns: Mapping[float, SweepColumn]
    notes: tuple[str, ...]

    @property
    def complete(self) -> bool:
        return self.done == self.total


class Sweep:
    """One sweep on a worker. It opens with what the store knows, and what it finds out is kept there."""

    def __init__(self, task: SweepTask, store: SweepStore, worker: Worker) -> None:
        self.task = task
        self._store = store
        self._keeps = True
        kept = store.load(task)
        self._columns, self._notes = kept.columns, kept.notes
        total = len(task.queries) * len(task.grid.keep_rates)
        self._errand = Errand(worker, total, self._steps, lambda: _known(self._columns))

    def look(self) -> Look:
        stand, columns = self._errand.look(), self._columns
        return Look(
            stand.state, _known(columns), stand.total, stand.seconds_left, stand.error, columns, self._notes
        )  # fmt: skip

    def start(self, visitor: str) -> None:
        """Go on in the background for this visitor, whose other sweep, if there is one, stops."""
        self._errand.start(visitor)

    def stop(self, visitor: str) -> None:
        """This visitor wants it no more; it ends after the query at hand unless another one does. Nothing is lost."""
        self._errand.stop(visitor)

    def _steps(self) -> Steps:
        with closing(run_sweep(self.task, self._columns, self._save)) as found:
            for keep_rate, column in found:
                self._columns = {**self._columns, keep_rate: column}  # replaced whole: a look sees one moment
                yield

    def _save(self, task: SweepTask, keep_rate: float, column: SweepColumn) -> None:
        """Results that cannot be kept are still worth having: say so once and go on."""
        if not self._keeps:
            return
        try:
            self._store.save(task, keep_rate, column)
        except OSError as problem:
            self._keeps = False
            self._notes += (str(problem),)


def _known(columns: Mapping[float, SweepColumn]) -> int:
    return sum(int(column.known.sum()) for column in columns.values())
