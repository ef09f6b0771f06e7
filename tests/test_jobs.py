"""Sweeps in the background: one at a time, stoppable, shared, and honest about what went wrong."""

import threading
import time

import numpy as np
import pytest

from app.jobs import WAITING_LINE, BusyError, State, SweepJob, Worker
from fpc_core.config import QuerySettings
from fpc_core.evaluation.sweep import SweepGrid, SweepTask, run_sweep
from fpc_core.evaluation.sweep_store import SweepStore
from fpc_core.workspace import open_workspace

GRID = SweepGrid((1.0, 0.6), (0.0, 0.4), (1, 3))


@pytest.fixture(scope="module")
def task(small_places):
    space = open_workspace(small_places, "cpu")
    return SweepTask(space.retriever, space.dataset, GRID, QuerySettings(neighbors=1, shortlist=10))


@pytest.fixture
def store(tmp_path):
    return SweepStore(tmp_path / "sweeps")


def ended(job, seconds=60):
    """What the job looks like once it no longer runs."""
    for _ in range(seconds * 100):
        if not (look := job.look()).active:
            return look
        time.sleep(0.01)
    raise AssertionError(f"still {look.state} after {seconds} s")


class Gate:
    """A worker's call that lasts until it is let go."""

    def __init__(self, worker):
        self.open = threading.Event()
        entered = threading.Event()
        worker.submit(lambda: (entered.set(), self.open.wait(60)))
        assert entered.wait(60)


def test_a_job_runs_to_the_end_and_knows_what_a_sweep_knows(task, store):
    job = SweepJob(task, store, Worker())
    assert (job.look().state, job.look().done) == (State.IDLE, 0)
    job.start()
    look = ended(job)
    assert look.complete
    assert (look.state, look.done, look.total, look.error, look.notes) == (State.IDLE, 16, 16, "", ())
    for rate, column in run_sweep(task):
        if column.complete:
            np.testing.assert_array_equal(look.columns[rate].average_precision, column.average_precision)


def test_a_new_job_starts_with_what_is_kept(task, store):
    first = SweepJob(task, store, Worker())
    first.start()
    ended(first)
    assert SweepJob(task, store, Worker()).look().complete


def test_a_stopped_job_keeps_what_it_has_and_goes_on(task, store, monkeypatch):
    job = SweepJob(task, store, Worker())
    original = task.retriever.match

    def stop_at_the_third(*arguments):
        if job.look().done == 2:
            job.stop()
        return original(*arguments)

    monkeypatch.setattr(task.retriever, "match", stop_at_the_third)
    job.start()
    look = ended(job)
    assert (look.state, look.done) == (State.STOPPED, 3)
    assert SweepJob(task, store, Worker()).look().done == 3
    monkeypatch.undo()
    job.start()
    assert ended(job).complete


def test_a_job_waits_for_the_one_before_and_may_be_started_twice(task, store):
    worker = Worker()
    gate = Gate(worker)
    job = SweepJob(task, store, worker)
    job.start()
    job.start()
    assert job.look().state is State.WAITING
    gate.open.set()
    assert ended(job).complete


def test_a_full_line_is_refused_in_words(task, store):
    worker = Worker()
    gate = Gate(worker)
    for _ in range(WAITING_LINE):
        worker.submit(lambda: None)
    job = SweepJob(task, store, worker)
    with pytest.raises(BusyError, match="8 sweeps are waiting already; try again"):
        job.start()
    assert job.look().state is State.IDLE
    gate.open.set()


def test_the_time_left_is_told_while_it_runs(task, store, monkeypatch):
    job = SweepJob(task, store, Worker())
    original, told = task.retriever.match, []
    monkeypatch.setattr(task.retriever, "match", lambda *each: (told.append(job.look()), original(*each))[1])
    job.start()
    ended(job)
    assert told[0].seconds_left is None
    assert all(look.seconds_left > 0 for look in told[1:])
    assert [look.done for look in told] == list(range(16))


def test_an_error_ends_the_job_and_is_told_and_the_worker_lives(task, store, monkeypatch):
    worker = Worker()
    job = SweepJob(task, store, worker)

    def fail(*_):
        raise ValueError("the gallery memory was cut short")

    monkeypatch.setattr(task.retriever, "match", fail)
    job.start()
    look = ended(job)
    assert (look.state, look.error) == (State.FAILED, "the gallery memory was cut short")
    monkeypatch.undo()
    job.start()
    look = ended(job)
    assert look.complete
    assert look.error == ""


def test_results_that_cannot_be_kept_are_shown_with_one_note(task, tmp_path):
    (tmp_path / "file").write_text("in the way")
    job = SweepJob(task, SweepStore(tmp_path / "file"), Worker())
    job.start()
    look = ended(job)
    assert look.complete
    assert len(look.notes) == 1
    assert "set FPC_CACHE" in look.notes[0]
