"""One query under many occluders, in the background: shared by visitors who ask for the same, looked at any time."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from app.server.jobs import Errand, Stand
from app.server.worker import Steps, Worker
from fpc_core.evaluation.occlusion.study import OcclusionTask, Standings, run_occlusion


@dataclass(frozen=True)
class Look(Stand):
    """A study at one moment; done and total count its searches."""

    known: Standings


class Study:
    """One task on a worker. What is known stays known when it is stopped."""

    def __init__(self, task: OcclusionTask, worker: Worker) -> None:
        self.task = task
        self._known = Standings.empty(len(task.keep_rates), len(task.scenes))
        self._errand = Errand(worker, task.total, self._steps, lambda: self._known.done)

    def look(self) -> Look:
        stand, known = self._errand.look(), self._known
        return Look(stand.state, known.done, stand.total, stand.seconds_left, stand.error, stand.notes, known)

    def start(self, visitor: str) -> None:
        """Go on in the background for this visitor, whose other study of the kind, if there is one, stops."""
        self._errand.start(visitor)

    def stop(self, visitor: str) -> None:
        """This visitor wants it no more; it ends after the search at hand unless another one does."""
        self._errand.stop(visitor)

    def _steps(self) -> Steps:
        with closing(run_occlusion(self.task, self._known)) as found:
            for known in found:
                self._known = known  # replaced whole: a look sees one moment
                yield
