"""Background jobs that compute a sweep: stop, resume, shared results and reported errors."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from app.server.background_job import JobState
from app.server.evaluation_job import EvaluationJob
from app.server.job_worker import Worker
from fpc_core.config import QuerySettings
from fpc_core.evaluation.engine.result_store import ResultStore
from fpc_core.evaluation.engine.runner import run_passes
from fpc_core.evaluation.sweep.task import SweepGrid, SweepTask
from fpc_core.workspace import open_workspace

GRID = SweepGrid((1.0, 0.6), (0.0, 0.4), (1, 3))


@pytest.fixture(scope="module")
def task(small_places):
    workspace = open_workspace(small_places, "cpu")
    return SweepTask(workspace.retriever, workspace.dataset, GRID, QuerySettings(neighbors=1, shortlist=10)).work


@pytest.fixture
def store(tmp_path):
    return ResultStore(tmp_path / "results")


def ended(run, seconds=60):
    """Return the status of a job after it has ended.

    Args:
        run: The job.
        seconds: Maximum waiting time in seconds.
    """
    for _ in range(seconds * 100):
        if not (status := run.status()).active:
            return status
        time.sleep(0.01)
    raise AssertionError(f"still {status.state} after {seconds} s")


def test_a_job_has_the_results_of_a_direct_run(task, store):
    run = EvaluationJob(task, store, Worker())
    assert (run.status().state, run.status().done) == (JobState.IDLE, 0)
    run.start("a")
    status = ended(run)
    assert status.complete
    assert (status.state, status.done, status.total, status.error, status.notes) == (JobState.IDLE, 16, 16, "", ())
    for eval_pass, result in run_passes(task):
        if result.complete:
            np.testing.assert_array_equal(status.known[eval_pass].average_precision, result.average_precision)


def test_a_new_job_starts_with_stored_results(task, store):
    first = EvaluationJob(task, store, Worker())
    first.start("a")
    ended(first)
    assert EvaluationJob(task, store, Worker()).status().complete


def test_a_job_loads_results_stored_by_another(task, store):
    idle, other = EvaluationJob(task, store, Worker()), EvaluationJob(task, store, Worker())
    other.start("a")
    ended(other)
    assert not idle.status().complete
    idle.refresh()
    assert idle.status().complete


def test_a_stopped_job_keeps_its_results_and_resumes(task, store, monkeypatch):
    run = EvaluationJob(task, store, Worker())
    original = task.retriever.match

    def stop_at_the_third(*arguments):
        if run.status().done == 2:
            run.stop("a")
        return original(*arguments)

    monkeypatch.setattr(task.retriever, "match", stop_at_the_third)
    run.start("a")
    status = ended(run)
    assert (status.state, status.done) == (JobState.STOPPED, 3)
    assert EvaluationJob(task, store, Worker()).status().done == 3
    monkeypatch.undo()
    run.start("a")
    assert ended(run).complete


def test_a_job_continues_for_another_subscriber(task, store, monkeypatch):
    run = EvaluationJob(task, store, Worker())
    original = task.retriever.match

    def leave_at_the_third(*arguments):
        if run.status().done == 2:
            run.stop("a")
        return original(*arguments)

    monkeypatch.setattr(task.retriever, "match", leave_at_the_third)
    run.start("a")
    run.start("b")
    assert ended(run).complete


def test_a_job_belongs_to_its_visitor_until_that_visitor_leaves(task, store, monkeypatch):
    run, original, gate = EvaluationJob(task, store, Worker()), task.retriever.match, threading.Event()
    monkeypatch.setattr(task.retriever, "match", lambda *arguments: gate.wait(30) and original(*arguments))
    run.start("a")
    assert run.belongs_to("a", lambda visitor: True)
    assert not run.belongs_to("b", lambda visitor: True)
    assert run.belongs_to("b", lambda visitor: visitor != "a")
    assert not run.belongs_to("a", lambda visitor: True)
    run.stop("b")
    assert not run.belongs_to("b", lambda visitor: True)  # It ends after its step.
    gate.set()
    assert ended(run).state is JobState.STOPPED


def test_a_visitors_next_job_stops_the_previous_one(task, store, monkeypatch):
    worker = Worker()
    first = EvaluationJob(task, store, worker)
    second = EvaluationJob(replace(task, passes=task.passes[1:]), store, worker)
    original = task.retriever.match

    def start_the_next_at_the_third(*arguments):
        if first.status().done == 2 and not second.status().active:
            second.start("a")
        return original(*arguments)

    monkeypatch.setattr(task.retriever, "match", start_the_next_at_the_third)
    first.start("a")
    status = ended(first)
    assert status.state is JobState.STOPPED
    assert 2 <= status.done < status.total
    assert ended(second).complete


def test_the_time_left_is_estimated_while_it_runs(task, store, monkeypatch):
    run = EvaluationJob(task, store, Worker())
    original, statuses = task.retriever.match, []
    monkeypatch.setattr(task.retriever, "match", lambda *each: (statuses.append(run.status()), original(*each))[1])
    run.start("a")
    ended(run)
    assert statuses[0].seconds_left is None
    assert all(status.seconds_left > 0 for status in statuses[1:])
    assert [status.done for status in statuses] == list(range(16))


def test_an_error_ends_the_job_but_not_the_worker(task, store, monkeypatch):
    worker = Worker()
    run = EvaluationJob(task, store, worker)

    def fail(*_):
        raise ValueError("the gallery memory was cut short")

    monkeypatch.setattr(task.retriever, "match", fail)
    run.start("a")
    status = ended(run)
    assert (status.state, status.error) == (JobState.FAILED, "the gallery memory was cut short")
    monkeypatch.undo()
    run.start("a")
    status = ended(run)
    assert status.complete
    assert status.error == ""


def test_results_that_cannot_be_stored_are_shown_with_one_note(task, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    run = EvaluationJob(task, ResultStore(tmp_path / "file"), Worker())
    run.start("a")
    status = ended(run)
    assert status.complete
    assert len(status.notes) == 1
    assert "set FPC_CACHE" in status.notes[0]
