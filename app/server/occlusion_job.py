"""Background job of an occlusion study: searches for one query under many occluders."""

from __future__ import annotations

from contextlib import closing

from app.server.background_job import BackgroundJob
from app.server.job_worker import Steps, Worker
from fpc_core.evaluation.occlusion.study import OcclusionResults, OcclusionTask, run_occlusion


class OcclusionJob(BackgroundJob):
    """Runs the searches for all scenes of an occlusion task."""

    known: OcclusionResults

    def __init__(self, task: OcclusionTask, worker: Worker) -> None:
        super().__init__(worker, task.total)
        self.task = task
        self.known = OcclusionResults.empty(len(task.keep_rates), len(task.scenes))

    def _steps(self) -> Steps:
        with closing(run_occlusion(self.task, self.known)) as steps:
            for self.known in steps:
                yield

    def _done(self, known: OcclusionResults) -> int:
        return known.done
