"""A sweep or an evaluation in the background: shared by the visitors who ask for the same, looked at any time."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from app.server.jobs import BackgroundJob, JobStatus
from app.server.worker import Steps, Worker
from fpc_core.evaluation.engine.passes import Known, Pass, PassResult, PassTask
from fpc_core.evaluation.engine.result_store import ResultStore
from fpc_core.evaluation.engine.runner import run_passes


@dataclass(frozen=True)
class EvaluationStatus(JobStatus):
    """A run at one moment; done and total count the steps of its task."""

    known: Known


class EvaluationJob:
    """One task on a worker. It opens with what the store knows, and what it finds out is kept there."""

    def __init__(self, task: PassTask, store: ResultStore, worker: Worker) -> None:
        self.task = task
        self._store = store
        self._keeps = True
        kept = store.load(task)
        self._known: Known = kept.known
        self._notes = kept.notes
        self._errand = BackgroundJob(worker, task.total, self._steps, lambda: task.done(self._known))

    def status(self) -> EvaluationStatus:
        stand, known = self._errand.status(), self._known
        return EvaluationStatus(
            stand.state,
            self.task.done(known),
            stand.total,
            stand.seconds_left,
            stand.error,
            (*self._notes, *stand.notes),
            known,
        )

    def refresh(self) -> None:
        """Take in what other runs have kept since, unless it is at work or knows all."""
        look = self.status()
        if not look.active and not look.complete:
            kept = self._store.load(self.task)
            if self.task.done(kept.known) > look.done:
                self._known, self._notes = kept.known, kept.notes

    def start(self, visitor: str) -> None:
        """Go on in the background for this visitor, whose other run on the worker, if there is one, stops."""
        self._errand.start(visitor)

    def stop(self, visitor: str) -> None:
        """This visitor wants it no more; it ends after the step at hand unless another one does. Nothing is lost."""
        self._errand.stop(visitor)

    def _steps(self) -> Steps:
        with closing(run_passes(self.task, self._known, self._save)) as found:
            for asked, result in found:
                self._known = {**self._known, asked: result}  # replaced whole: a look sees one moment
                yield

    def _save(self, task: PassTask, asked: Pass, result: PassResult) -> None:
        """Results that cannot be kept are still worth having: say so once and go on."""
        if not self._keeps:
            return
        try:
            self._store.save(task, asked, result)
        except OSError as problem:
            self._keeps = False
            self._notes += (str(problem),)
