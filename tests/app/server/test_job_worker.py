"""The background worker: jobs with equal keys are shared, and jobs without subscribers are cancelled."""

import os
import subprocess
import sys
import threading

import pytest

from app.server.job_worker import Worker
from fpc_core.runtime import threads
from fpc_core.runtime.interruption import checkpoint
from fpc_core.runtime.out_of_memory import _report


def wait(job):
    for _ in range(500):
        if job.finished:
            return job
        threading.Event().wait(0.01)
    raise TimeoutError


def counting(times, gate=None, log=None):
    """Return a job that takes steps and returns their number.

    Args:
        times: Number of steps.
        gate: Event for which every step waits, or None.
        log: List that receives the number of every step, or None.
    """

    def steps():
        for step in range(times):
            if gate is not None:
                gate.wait(5)
            if log is not None:
                log.append(step)
            yield
        return times

    return steps


def test_a_job_counts_its_steps_and_returns_its_result():
    job = wait(Worker().submit("a", "key", 3, counting(3)))
    assert (job.done, job.total, job.result, job.error) == (3, 3, 3, None)


def test_a_job_collects_out_of_memory_notes_of_every_step():
    def steps():
        _report("the first step")
        yield
        _report("the last step")

    assert wait(Worker().submit("a", "key", 1, steps)).notes == ("the first step", "the last step")


def test_equal_keys_share_one_job():
    worker, log = Worker(), []
    first = worker.submit("a", "key", 2, counting(2, log=log))
    second = worker.submit("b", "key", 2, counting(2, log=log))
    assert first is second
    assert wait(first).result == 2
    assert log == [0, 1]


def test_a_superseded_job_stops_before_its_next_step():
    worker, gate, log = Worker(), threading.Event(), []
    old = worker.submit("a", "old", 5, counting(5, gate, log))
    new = worker.submit("a", "new", 1, counting(1))
    gate.set()
    wait(new)
    assert not old.finished
    assert len(log) <= 1


def test_a_job_with_another_subscriber_continues():
    worker, gate = Worker(), threading.Event()
    shared = worker.submit("a", "shared", 3, counting(3, gate))
    worker.submit("b", "shared", 3, counting(3, gate))
    worker.submit("a", "new", 1, counting(1))
    gate.set()
    assert wait(shared).result == 3


def test_jobs_take_turns():
    worker, gate, log = Worker(), threading.Event(), []

    def named(name):
        def steps():
            gate.wait(5)
            for _ in range(3):
                log.append(name)
                yield

        return steps

    jobs = [worker.submit(name, name, 3, named(name)) for name in "ab"]
    gate.set()
    for job in jobs:
        wait(job)
    assert log == ["a", "b", "a", "b", "a", "b"]


def test_a_failing_job_ends_with_its_error_but_not_the_worker():
    def failing():
        yield
        raise ValueError("no convergence")

    worker = Worker()
    assert str(wait(worker.submit("a", "bad", 2, failing)).error) == "no convergence"
    assert wait(worker.submit("a", "good", 1, counting(1))).result == 1


def test_a_failed_job_restarts_for_a_new_subscriber():
    disk = {"gone": True}

    def reading():
        yield
        if disk["gone"]:
            raise OSError("the disk is gone")
        return "read"

    worker = Worker()
    failed = wait(worker.submit("a", "key", 1, reading))
    assert worker.submit("a", "key", 1, reading) is failed  # A failed job does not restart at every run of a page.
    disk["gone"] = False
    assert wait(worker.submit("b", "key", 1, reading)).result == "read"
    assert worker.submit("a", "key", 1, reading).result == "read"


def test_old_results_are_evicted():
    worker = Worker(max_results=2)
    jobs = [wait(worker.submit(f"visitor {at}", f"key {at}", 1, counting(1))) for at in range(4)]
    again = worker.submit("new visitor", "key 0", 1, counting(1))
    assert again is not jobs[0]
    assert worker.submit("new visitor too", "key 3", 1, counting(1)) is jobs[3]


def test_large_results_are_evicted_by_size():
    def large():
        yield
        return bytes(1000)

    worker = Worker(max_result_bytes=2500)
    jobs = [wait(worker.submit(f"visitor {at}", f"key {at}", 1, large)) for at in range(4)]
    assert worker.submit("visitor 3", "key 3", 1, large) is jobs[3]
    assert worker.submit("new visitor", "key 2", 1, large) is jobs[2]
    assert worker.submit("new visitor too", "key 0", 1, large) is not jobs[0]


def test_the_latest_result_stays_even_if_it_is_too_large():
    worker = Worker(max_result_bytes=10)
    job = wait(worker.submit("a", "key", 1, counting(1)))
    assert worker.submit("a", "key", 1, counting(1)) is job


def test_a_disconnected_visitor_does_not_count_as_a_subscriber():
    gate, log, left = threading.Event(), [], set()
    worker = Worker(is_connected=lambda name: name not in left)
    job = worker.submit("a", "key", 3, counting(3, gate, log))
    left.add("a")
    gate.set()
    for _ in range(500):
        if job.cancelled:
            break
        threading.Event().wait(0.01)
    assert job.cancelled
    assert log in ([], [0])  # The step that has begun may end.


def test_the_error_that_ended_a_job_is_logged(caplog):
    def failing():
        yield
        raise ValueError("no convergence")

    wait(Worker().submit("a", "bad", 1, failing))
    assert "no convergence" in caplog.text


def test_a_thread_limited_to_one_core_leaves_others_unlimited():
    program = """
import threading, numba, torch
from fpc_core.runtime.threads import limit_thread_to_one_core
def in_a_thread(*before):
    seen = []
    def work():
        [each() for each in before]
        seen.append((torch.get_num_threads(), numba.get_num_threads()))
    thread = threading.Thread(target=work)
    thread.start(); thread.join()
    return seen[0]
print(in_a_thread(limit_thread_to_one_core), in_a_thread(), (torch.get_num_threads(), numba.get_num_threads()))
"""
    environment = os.environ | {"OMP_NUM_THREADS": "2", "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(1, 1) (2, 2) (2, 2)"


@pytest.mark.parametrize(
    ("few", "before", "after"), [(True, None, "passive"), (True, "active", "active"), (False, None, None)]
)
def test_idle_threads_sleep_on_few_cores_unless_configured(monkeypatch, few, before, after):
    monkeypatch.setattr(threads, "FEW_CORES", few)
    monkeypatch.setattr(os, "environ", {} if before is None else {"OMP_WAIT_POLICY": before})
    threads.set_passive_omp_wait()
    assert os.environ.get("OMP_WAIT_POLICY") == after


def test_torch_is_imported_after_the_wait_policy_is_set():
    found = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import fpc_core.retrieval"],
        capture_output=True,
        text=True,
        check=True,
    )
    order = [line.rpartition("|")[2].strip() for line in found.stderr.splitlines()]
    assert order.index("fpc_core.runtime.threads") < order.index("torch")


def test_a_job_without_subscribers_is_marked_as_cancelled():
    worker, gate, log = Worker(), threading.Event(), []
    job = worker.submit("a", "key", 5, counting(5, gate, log))
    worker.cancel("a")
    gate.set()
    wait(worker.submit("b", "other", 1, counting(1)))
    wait(worker.submit("b", "another", 1, counting(1)))
    assert job.cancelled
    assert not job.finished
    assert len(log) <= 1


def test_a_long_step_without_subscribers_is_ended(monkeypatch):
    """Steps with a subscriber are not ended, and the worker continues with the next job."""
    monkeypatch.setattr("app.server.job_worker.LONG_STEP_SECONDS", 0.05)
    worker, begun, ended = Worker(), threading.Event(), threading.Event()

    def endless():
        try:
            while True:
                begun.set()
                checkpoint()
                threading.Event().wait(0.01)
        finally:
            ended.set()
        yield

    job = worker.submit("a", "long", 1, endless)
    worker.submit("b", "long", 1, endless)
    assert begun.wait(10)
    worker.cancel("a")
    assert not ended.wait(0.3)
    worker.cancel("b")
    assert ended.wait(10)
    assert wait(worker.submit("c", "next", 2, counting(2))).result == 2
    assert job.cancelled
    assert not job.finished
