"""Background jobs of occlusion studies: results equal those of the core, and a stopped job keeps its results."""

import time
from dataclasses import replace

import numpy as np
import pytest

from app.server.background_job import JobState
from app.server.job_worker import Worker
from app.server.occlusion_job import OcclusionJob
from fpc_core.config import QuerySettings
from fpc_core.data.images import resize_image
from fpc_core.data.occluders import CutOut, Rectangle, Scene
from fpc_core.evaluation.occlusion.scenarios import growing
from fpc_core.evaluation.occlusion.study import OcclusionTask, Relevance, run_occlusion
from fpc_core.workspace import open_workspace


@pytest.fixture(scope="module")
def task(small_places):
    workspace = open_workspace(small_places, "cpu")
    record = workspace.dataset.query[0]
    image = resize_image(workspace.dataset.read(record), workspace.retriever.model.config.image_size)
    relevance = Relevance.of(record.identity, record.camera, workspace.dataset.gallery)
    scenes = growing(Scene((Rectangle(),)), 3)
    settings = QuerySettings(neighbors=2, shortlist=10)
    return OcclusionTask(workspace.retriever, image, record.camera, relevance, scenes, settings, (1.0, 0.6))


def ended(study):
    for _ in range(6000):
        if not (status := study.status()).active:
            return status
        time.sleep(0.01)
    raise AssertionError("the study did not end")


def test_a_study_has_the_results_of_the_core(task):
    study = OcclusionJob(task, Worker())
    assert (study.status().state, study.status().done) == (JobState.IDLE, 0)
    study.start("a")
    status = ended(study)
    *_, found = run_occlusion(task)
    assert status.complete
    np.testing.assert_array_equal(status.known.rank, found.rank)
    np.testing.assert_array_equal(status.known.margin, found.margin)


def test_a_stopped_study_keeps_its_results_and_resumes(task, monkeypatch):
    study = OcclusionJob(task, Worker())
    original = task.retriever.match

    def stop_at_the_third(*arguments):
        if study.status().done == 2:
            study.stop("a")
        return original(*arguments)

    monkeypatch.setattr(task.retriever, "match", stop_at_the_third)
    study.start("a")
    status = ended(study)
    assert (status.state, status.done) == (JobState.STOPPED, 3)
    monkeypatch.undo()
    study.start("a")
    assert ended(study).complete


def test_a_failed_study_reports_the_reason(task):
    study = OcclusionJob(replace(task, scenes=(Scene((CutOut(path="gone.jpg"),)),)), Worker())
    study.start("a")
    status = ended(study)
    assert status.state is JobState.FAILED
    assert "gone.jpg" in status.error
