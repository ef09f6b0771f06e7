"""Tokens that a run pins on the device are read once, give the same results, and are released at the end."""

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
    """Report enough free memory for all tokens."""
    monkeypatch.setattr(device_tokens, "available_bytes", lambda device: 1 << 40)


@pytest.fixture
def no_reads(monkeypatch):
    """Return a list that collects the rows of every read from the gallery memory."""
    requested = []
    read = GalleryMemory.patches

    def noted(self, rows, device=None):
        requested.append(rows)
        return read(self, rows, device)

    monkeypatch.setattr(GalleryMemory, "patches", noted)
    return requested


def task_of(workspace, queries=None):
    return PassTask(
        workspace.retriever, workspace.dataset, workspace.dataset.query[:queries], (Pass(SETTINGS, (Point(0.4, 4),)),)
    )


@pytest.mark.usefixtures("roomy")
def test_pinned_tokens_equal_those_of_the_gallery_memory(workspace, no_reads):
    tokens, rows = workspace.retriever.tokens, [5, 0, 31, 5]
    read = tokens.patches(rows)
    assert len(no_reads) == 1
    with tokens.pinned() as is_pinned:
        assert is_pinned
        assert tokens.patches(rows).equal(read)
        assert tokens.patches(rows).dtype == torch.float32
        with pytest.raises(ValueError, match=r"rows must be a list of integers in 0\.\.31"):
            tokens.patches([-1])
    assert len(no_reads) == 1
    tokens.patches(rows)
    assert len(no_reads) == 2  # The pinned tokens were released.


@pytest.mark.usefixtures("roomy")
def test_a_run_reads_every_token_once_and_has_the_same_scores(workspace, no_reads, monkeypatch):
    pinned = run_with_store(task_of(workspace)).known
    assert no_reads == []
    monkeypatch.setattr(device_tokens, "available_bytes", lambda device: 0)
    expected = run_with_store(task_of(workspace)).known
    assert no_reads != []
    for requested, result in expected.items():
        np.testing.assert_array_equal(pinned[requested].average_precision, result.average_precision)


@pytest.mark.usefixtures("roomy")
def test_a_short_run_does_not_pin_tokens(workspace, no_reads):
    run_with_store(task_of(workspace, queries=2))  # It reads 24 of 32 images.
    assert no_reads != []


@pytest.mark.usefixtures("roomy")
def test_a_stopped_run_releases_the_tokens(workspace, no_reads):
    run = run_passes(task_of(workspace))
    next(run)
    assert no_reads == []
    run.close()
    workspace.retriever.tokens.patches([0])
    assert len(no_reads) == 1


@pytest.mark.usefixtures("roomy")
def test_tokens_stay_pinned_until_the_last_context_ends(workspace, no_reads):
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
def test_tokens_are_released_when_a_search_is_out_of_memory(workspace, no_reads, monkeypatch):
    config, record = workspace.retriever.model.config, workspace.dataset.query[0]
    image = to_tensor([resize_image(workspace.dataset.read(record), config.image_size)], config)
    expected, real = workspace.retriever.search(image, SETTINGS), retrieval.ground_cost
    no_reads.clear()
    with workspace.retriever.tokens.pinned():

        def costs(query, gallery):
            if not no_reads:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return real(query, gallery)

        monkeypatch.setattr(retrieval, "ground_cost", costs)
        with collect_oom_events() as notices:
            result = workspace.retriever.search(image, SETTINGS)
        assert notices == ["CPU ran out of memory in the transport: the gallery's tokens were released"]
        assert no_reads != []
    np.testing.assert_array_equal(result.match.transport.distance, expected.match.transport.distance)
    with workspace.retriever.tokens.pinned() as is_pinned:  # The next run pins tokens again.
        assert is_pinned


def test_tokens_that_do_not_fit_are_read_from_disk(workspace, no_reads, monkeypatch):
    monkeypatch.setattr(device_tokens, "available_bytes", lambda device: workspace.retriever.memory.tokens.nbytes - 1)
    with workspace.retriever.tokens.pinned() as is_pinned:
        assert not is_pinned
        workspace.retriever.tokens.patches([0])
    assert len(no_reads) == 1


@pytest.mark.usefixtures("roomy")
def test_a_device_that_fills_up_meanwhile_is_not_used(workspace, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "empty", full)
    with workspace.retriever.tokens.pinned() as is_pinned:
        assert not is_pinned


def test_tokens_use_no_cpu_memory_and_half_of_free_gpu_memory(monkeypatch):
    assert available_bytes(torch.device("cpu")) == 0
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 4000))
    assert available_bytes(torch.device("cuda:0")) == 500


@pytest.mark.usefixtures("roomy")
def test_tokens_in_ram_of_any_type_are_pinned_unchanged():
    tokens = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(np.float32)
    memory = GalleryMemory(np.ones((3, 5), np.float32), tokens, np.ones((3, 5), np.float32), ("a", "b", "c"), (2, 2))
    kept = DeviceTokenCache(memory, torch.device("cpu"))
    with kept.pinned():
        np.testing.assert_array_equal(kept.patches([2, 1]).numpy(), tokens[[2, 1]])
