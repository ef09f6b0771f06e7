"""Background job of a sweep, an evaluation or a failure analysis."""

from __future__ import annotations

from contextlib import closing

from app.server.background_job import BackgroundJob
from app.server.job_worker import Steps, Worker
from fpc_core.evaluation.engine.passes import Known, Pass, PassResult, PassTask
from fpc_core.evaluation.engine.result_store import ResultStore
from fpc_core.evaluation.engine.runner import run_passes


class EvaluationJob(BackgroundJob):
    """Runs the passes of a task, starting from its stored results, and stores new ones."""

    known: Known

    def __init__(self, task: PassTask, store: ResultStore, worker: Worker) -> None:
        super().__init__(worker, task.total)
        self.task = task
        self._store = store
        self._can_store = True
        loaded = store.load(task)
        self.known, self.notes = loaded.known, loaded.notes

    def refresh(self) -> None:
        """Load results that other jobs have stored meanwhile, unless this job is active or complete."""
        status = self.status()
        if not status.active and not status.complete:
            loaded = self._store.load(self.task)
            if self.task.done(loaded.known) > status.done:
                self.known, self.notes = loaded.known, loaded.notes

    def _steps(self) -> Steps:
        with closing(run_passes(self.task, self.known, self._save)) as steps:
            for eval_pass, result in steps:
                self.known = {**self.known, eval_pass: result}
                yield

    def _done(self, known: Known) -> int:
        return self.task.done(known)

    def _save(self, task: PassTask, eval_pass: Pass, result: PassResult) -> None:
        """Store a result. If that fails, add one note and continue, because the scores are still useful.

        Args:
            task: Task of the evaluation.
            eval_pass: Pass that the result belongs to.
            result: Result of the pass.
        """
        if not self._can_store:
            return
        try:
            self._store.save(task, eval_pass, result)
        except OSError as error:
            self._can_store = False
            self.notes += (str(error),)
