"""Tokens that a run keeps on the device: the same results, read once, let go at the end."""

import threading

import numpy as np
import pytest
import torch

from fpc_core import retrieval
from fpc_core.config import QuerySettings
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.evaluation.engine.passes import Pass, PassTask, Point
from fpc_core.evaluation.engine.runner import run_passes, run_with_store
from fpc_core.gallery import device_tokens
from fpc_core.gallery.device_tokens import DeviceTokenCache, available_bytes
from fpc_core.gallery.memory import GalleryMemory
from fpc_core.runtime.out_of_memory import collect_oom_events
from fpc_core.workspace import open_workspace

SETTINGS = QuerySettings(neighbors=4, shortlist=12)


@pytest.fixture
def workspace(small_places):
    return open_workspace(small_places, "cpu")


@pytest.fixture
def roomy(monkeypatch):
    """Everything fits."""
    monkeypatch.setattr(device_tokens, "available_bytes", lambda device: 1 << 40)


@pytest.fixture
def no_reads(monkeypatch):
    """Which rows were asked of the memory itself."""
    asked = []
    read = GalleryMemory.patches

    def noted(self, rows, device=None):
        asked.append(rows)
        return read(self, rows, device)

    monkeypatch.setattr(GalleryMemory, "patches", noted)
    return asked


def task_of(workspace, queries=None):
    return PassTask(
        workspace.retriever, workspace.dataset, workspace.dataset.query[:queries], (Pass(SETTINGS, (Point(0.4, 4),)),)
    )


@pytest.mark.usefixtures("roomy")
def test_held_tokens_are_those_of_the_memory_bit_by_bit_and_in_the_order_asked(workspace, no_reads):
    tokens, rows = workspace.retriever.tokens, [5, 0, 31, 5]
    read = tokens.patches(rows)
    assert len(no_reads) == 1
    with tokens.pinned() as held:
        assert held
        assert tokens.patches(rows).equal(read)
        assert tokens.patches(rows).dtype == torch.float32
        with pytest.raises(ValueError, match=r"rows must be a list of numbers in 0\.\.31"):
            tokens.patches([-1])
    assert len(no_reads) == 1
    tokens.patches(rows)
    assert len(no_reads) == 2  # let go


@pytest.mark.usefixtures("roomy")
def test_a_run_over_many_queries_reads_every_token_once_and_scores_the_same(workspace, no_reads, monkeypatch):
    found = run_with_store(task_of(workspace)).known
    assert no_reads == []
    monkeypatch.setattr(device_tokens, "available_bytes", lambda device: 0)
    usual = run_with_store(task_of(workspace)).known
    assert no_reads != []
    for asked, result in usual.items():
        np.testing.assert_array_equal(found[asked].average_precision, result.average_precision)


@pytest.mark.usefixtures("roomy")
def test_a_run_that_reads_less_than_the_memory_holds_sends_nothing_else(workspace, no_reads):
    run_with_store(task_of(workspace, queries=2))  # 24 of 32 images
    assert no_reads != []


@pytest.mark.usefixtures("roomy")
def test_a_run_that_is_stopped_lets_go(workspace, no_reads):
    run = run_passes(task_of(workspace))
    next(run)
    assert no_reads == []
    run.close()
    workspace.retriever.tokens.patches([0])
    assert len(no_reads) == 1


@pytest.mark.usefixtures("roomy")
def test_tokens_stay_until_the_last_holder_lets_go(workspace, no_reads):
    tokens, inside, go = workspace.retriever.tokens, threading.Event(), threading.Event()

    def other():
        with tokens.pinned():
            inside.set()
            go.wait(10)

    thread = threading.Thread(target=other)
    with tokens.pinned():
        thread.start()
        assert inside.wait(10)
    tokens.patches([0])
    assert no_reads == []
    go.set()
    thread.join()
    tokens.patches([0])
    assert len(no_reads) == 1


@pytest.mark.usefixtures("roomy")
def test_tokens_make_room_for_a_search_that_has_none_and_come_from_the_memory_from_then_on(
    workspace, no_reads, monkeypatch
):
    config, record = workspace.retriever.model.config, workspace.dataset.query[0]
    image = to_tensor([resize_image(workspace.dataset.read(record), config.image_size)], config)
    usual, real = workspace.retriever.search(image, SETTINGS), retrieval.ground_cost
    no_reads.clear()
    with workspace.retriever.tokens.pinned():

        def costs(query, gallery):
            if not no_reads:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return real(query, gallery)

        monkeypatch.setattr(retrieval, "ground_cost", costs)
        with collect_oom_events() as heard:
            found = workspace.retriever.search(image, SETTINGS)
        assert heard == ["CPU ran out of memory in the transport: the gallery's tokens no longer stay there"]
        assert no_reads != []
    np.testing.assert_array_equal(found.match.transport.distance, usual.match.transport.distance)
    with workspace.retriever.tokens.pinned() as held:  # the next run tries again
        assert held


def test_what_does_not_fit_is_read_as_usual(workspace, no_reads, monkeypatch):
    monkeypatch.setattr(device_tokens, "available_bytes", lambda device: workspace.retriever.memory.tokens.nbytes - 1)
    with workspace.retriever.tokens.pinned() as held:
        assert not held
        workspace.retriever.tokens.patches([0])
    assert len(no_reads) == 1


@pytest.mark.usefixtures("roomy")
def test_a_device_that_fills_up_meanwhile_leaves_them_where_they_are(workspace, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "empty", full)
    with workspace.retriever.tokens.pinned() as held:
        assert not held


def test_the_cpu_holds_nothing_and_a_gpu_half_of_what_is_free(monkeypatch):
    assert available_bytes(torch.device("cpu")) == 0
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 4000))
    assert available_bytes(torch.device("cuda:0")) == 500


@pytest.mark.usefixtures("roomy")
def test_tokens_in_main_memory_of_any_type_are_held_as_they_are():
    tokens = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(np.float32)
    memory = GalleryMemory(np.ones((3, 5), np.float32), tokens, np.ones((3, 5), np.float32), ("a", "b", "c"), (2, 2))
    kept = DeviceTokenCache(memory, torch.device("cpu"))
    with kept.pinned():
        np.testing.assert_array_equal(kept.patches([2, 1]).numpy(), tokens[[2, 1]])
