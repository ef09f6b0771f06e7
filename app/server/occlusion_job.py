"""One query under many occluders, in the background: shared by visitors who ask for the same, looked at any time."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from app.server.jobs import BackgroundJob, JobStatus
from app.server.worker import Steps, Worker
from fpc_core.evaluation.occlusion.study import OcclusionResults, OcclusionTask, run_occlusion


@dataclass(frozen=True)
class OcclusionStatus(JobStatus):
    """A study at one moment; done and total count its searches."""

    known: OcclusionResults


class OcclusionJob:
    """One task on a worker. What is known stays known when it is stopped."""

    def __init__(self, task: OcclusionTask, worker: Worker) -> None:
        self.task = task
        self._known = OcclusionResults.empty(len(task.keep_rates), len(task.scenes))
        self._errand = BackgroundJob(worker, task.total, self._steps, lambda: self._known.done)

    def status(self) -> OcclusionStatus:
        stand, known = self._errand.status(), self._known
        return OcclusionStatus(
            stand.state, known.done, stand.total, stand.seconds_left, stand.error, stand.notes, known
        )

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
