"""Sweeps in the background: stoppable, shared, resumed, and honest about what went wrong."""

import time
from dataclasses import replace

import numpy as np
import pytest

from app.background import Worker
from app.errands import State
from app.sweeps import Sweep
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


def ended(sweep, seconds=60):
    """What the sweep looks like once it no longer runs."""
    for _ in range(seconds * 100):
        if not (look := sweep.look()).active:
            return look
        time.sleep(0.01)
    raise AssertionError(f"still {look.state} after {seconds} s")


def test_a_sweep_runs_to_the_end_and_knows_what_a_sweep_knows(task, store):
    sweep = Sweep(task, store, Worker())
    assert (sweep.look().state, sweep.look().done) == (State.IDLE, 0)
    sweep.start("a")
    look = ended(sweep)
    assert look.complete
    assert (look.state, look.done, look.total, look.error, look.notes) == (State.IDLE, 16, 16, "", ())
    for rate, column in run_sweep(task):
        if column.complete:
            np.testing.assert_array_equal(look.columns[rate].average_precision, column.average_precision)


def test_a_new_sweep_starts_with_what_is_kept(task, store):
    first = Sweep(task, store, Worker())
    first.start("a")
    ended(first)
    assert Sweep(task, store, Worker()).look().complete


def test_a_stopped_sweep_keeps_what_it_has_and_goes_on(task, store, monkeypatch):
    sweep = Sweep(task, store, Worker())
    original = task.retriever.match

    def stop_at_the_third(*arguments):
        if sweep.look().done == 2:
            sweep.stop("a")
        return original(*arguments)

    monkeypatch.setattr(task.retriever, "match", stop_at_the_third)
    sweep.start("a")
    look = ended(sweep)
    assert (look.state, look.done) == (State.STOPPED, 3)
    assert Sweep(task, store, Worker()).look().done == 3
    monkeypatch.undo()
    sweep.start("a")
    assert ended(sweep).complete


def test_a_sweep_that_another_visitor_wants_goes_on(task, store, monkeypatch):
    sweep = Sweep(task, store, Worker())
    original = task.retriever.match

    def leave_at_the_third(*arguments):
        if sweep.look().done == 2:
            sweep.stop("a")
        return original(*arguments)

    monkeypatch.setattr(task.retriever, "match", leave_at_the_third)
    sweep.start("a")
    sweep.start("b")
    assert ended(sweep).complete


def test_a_visitors_next_sweep_stops_the_last(task, store, monkeypatch):
    worker = Worker()
    first = Sweep(task, store, worker)
    second = Sweep(replace(task, grid=replace(GRID, alphas=(0.3,))), store, worker)
    original = task.retriever.match

    def turn_at_the_third(*arguments):
        if first.look().done == 2 and not second.look().active:
            second.start("a")
        return original(*arguments)

    monkeypatch.setattr(task.retriever, "match", turn_at_the_third)
    first.start("a")
    look = ended(first)
    assert look.state is State.STOPPED
    assert 2 <= look.done < look.total
    assert ended(second).complete


def test_the_time_left_is_told_while_it_runs(task, store, monkeypatch):
    sweep = Sweep(task, store, Worker())
    original, told = task.retriever.match, []
    monkeypatch.setattr(task.retriever, "match", lambda *each: (told.append(sweep.look()), original(*each))[1])
    sweep.start("a")
    ended(sweep)
    assert told[0].seconds_left is None
    assert all(look.seconds_left > 0 for look in told[1:])
    assert [look.done for look in told] == list(range(16))


def test_an_error_ends_the_sweep_and_is_told_and_the_worker_lives(task, store, monkeypatch):
    worker = Worker()
    sweep = Sweep(task, store, worker)

    def fail(*_):
        raise ValueError("the gallery memory was cut short")

    monkeypatch.setattr(task.retriever, "match", fail)
    sweep.start("a")
    look = ended(sweep)
    assert (look.state, look.error) == (State.FAILED, "the gallery memory was cut short")
    monkeypatch.undo()
    sweep.start("a")
    look = ended(sweep)
    assert look.complete
    assert look.error == ""


def test_results_that_cannot_be_kept_are_shown_with_one_note(task, tmp_path):
    (tmp_path / "file").write_text("in the way")
    sweep = Sweep(task, SweepStore(tmp_path / "file"), Worker())
    sweep.start("a")
    look = ended(sweep)
    assert look.complete
    assert len(look.notes) == 1
    assert "set FPC_CACHE" in look.notes[0]
