"""Background jobs that build a gallery memory or check images: progress, cancel, resume and error messages."""

import threading
from dataclasses import replace

import pytest

import app.server.data_jobs
from app.server.background_job import JobState
from app.server.data_jobs import BuildJob, ImageCheckJob
from app.server.job_worker import Worker
from fpc_core.data.datasets import open_dataset
from fpc_core.gallery.builder import build_steps
from fpc_core.workspace.inspect import MemoryStatus, inspect_memory, inspect_weights


@pytest.fixture
def places(small_places, tmp_path):
    return replace(small_places, memory=tmp_path / "memory")


@pytest.fixture
def dataset(small_places):
    """Return the small dataset with three batches of gallery images."""
    small = open_dataset(small_places.data)
    return replace(small, gallery=small.gallery * 3)


@pytest.fixture
def gate(monkeypatch):
    """Return a semaphore; a build takes one step each time it is released."""
    gate = threading.Semaphore(0)

    def gated(*args, **options):
        steps = build_steps(*args, **options)
        try:
            for done in steps:
                gate.acquire(timeout=60)
                yield done
        finally:
            steps.close()

    monkeypatch.setattr(app.server.data_jobs, "build_steps", gated)
    return gate


def wait_until(condition):
    for _ in range(6000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise TimeoutError


def test_a_build_reports_progress_and_ends_with_a_matching_memory(places, dataset, small_places):
    build = BuildJob(places, "cpu", dataset, 0, Worker())
    assert build.status().state is JobState.IDLE
    build.start()
    wait_until(lambda: not build.status().active)
    status = build.status()
    assert (status.state, status.done, status.total, status.error) == (JobState.IDLE, 96, 96, "")
    found = inspect_memory(places.memory, dataset, inspect_weights(small_places))
    assert found.status is MemoryStatus.FITS


def test_a_cancelled_build_resumes_even_in_another_server(places, dataset, small_places, gate):
    build = BuildJob(places, "cpu", dataset, 0, Worker())
    build.start()
    gate.release(2)  # The first step reports 0 images, the second 32.
    wait_until(lambda: build.status().done == 32)
    assert build.status().state is JobState.RUNNING
    assert build.status().seconds_left > 0
    build.stop()
    gate.release()
    wait_until(lambda: build.status().state is JobState.STOPPED)
    weights = inspect_weights(small_places)
    found = inspect_memory(places.memory, dataset, weights)
    assert (found.status, found.done) == (MemoryStatus.UNFINISHED, 64)
    again = BuildJob(places, "cpu", dataset, found.done, Worker())
    assert again.status().done == 64
    again.start()
    gate.release(10)
    wait_until(lambda: not again.status().active)
    assert again.status().done == 96
    assert inspect_memory(places.memory, dataset, weights).status is MemoryStatus.FITS


def test_equal_builds_are_shared_and_others_take_turns(places, dataset, tmp_path):
    worker = Worker()
    one = BuildJob(places, "cpu", dataset, 0, worker)
    other = BuildJob(replace(places, memory=tmp_path / "other"), "cpu", dataset, 0, worker)
    for build in (one, one, other):
        build.start()
    wait_until(lambda: not one.status().active and not other.status().active)
    assert one.status().done == other.status().done == 96
    assert (tmp_path / "memory" / "manifest.json").is_file()
    assert (tmp_path / "other" / "manifest.json").is_file()


def test_a_failed_build_reports_the_reason_and_can_be_restarted(places, dataset, tmp_path):
    (tmp_path / "file").touch()
    build = BuildJob(replace(places, memory=tmp_path / "file" / "memory"), "cpu", dataset, 0, Worker())
    for _ in range(2):
        build.start()
        wait_until(lambda: not build.status().active)
        assert build.status().state is JobState.FAILED
        assert "cannot write the gallery memory" in build.status().error


def test_a_stopped_check_starts_over(dataset):
    check = ImageCheckJob(dataset, Worker())
    assert (check.status().done, check.status().total) == (0, 40)
    check.start()
    wait_until(lambda: not check.status().active)
    assert (check.status().done, check.broken) == (40, ())
    check.start()
    wait_until(lambda: not check.status().active)
    assert check.status().done == 40
