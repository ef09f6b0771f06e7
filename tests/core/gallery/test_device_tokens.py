"""Tokens that a run keeps on the device: the same results, read once, let go at the end."""

import threading

import numpy as np
import pytest
import torch

from fpc_core import retrieval
from fpc_core.config import QuerySettings
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.evaluation.engine.passes import Pass, PassTask, Point
from fpc_core.evaluation.engine.runner import run_kept, run_passes
from fpc_core.gallery import device_tokens
from fpc_core.gallery.device_tokens import ResidentTokens, room
from fpc_core.gallery.memory import GalleryMemory
from fpc_core.runtime.out_of_memory import shortages
from fpc_core.workspace import open_workspace

SETTINGS = QuerySettings(neighbors=4, shortlist=12)


@pytest.fixture
def space(small_places):
    return open_workspace(small_places, "cpu")


@pytest.fixture
def roomy(monkeypatch):
    """Everything fits."""
    monkeypatch.setattr(device_tokens, "room", lambda device: 1 << 40)


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


def task_of(space, queries=None):
    return PassTask(space.retriever, space.dataset, space.dataset.query[:queries], (Pass(SETTINGS, (Point(0.4, 4),)),))


@pytest.mark.usefixtures("roomy")
def test_held_tokens_are_those_of_the_memory_bit_by_bit_and_in_the_order_asked(space, no_reads):
    tokens, rows = space.retriever.tokens, [5, 0, 31, 5]
    read = tokens.patches(rows)
    assert len(no_reads) == 1
    with tokens.held() as held:
        assert held
        assert tokens.patches(rows).equal(read)
        assert tokens.patches(rows).dtype == torch.float32
        with pytest.raises(ValueError, match=r"rows must be a list of numbers in 0\.\.31"):
            tokens.patches([-1])
    assert len(no_reads) == 1
    tokens.patches(rows)
    assert len(no_reads) == 2  # let go


@pytest.mark.usefixtures("roomy")
def test_a_run_over_many_queries_reads_every_token_once_and_scores_the_same(space, no_reads, monkeypatch):
    found = run_kept(task_of(space)).known
    assert no_reads == []
    monkeypatch.setattr(device_tokens, "room", lambda device: 0)
    usual = run_kept(task_of(space)).known
    assert no_reads != []
    for asked, result in usual.items():
        np.testing.assert_array_equal(found[asked].average_precision, result.average_precision)


@pytest.mark.usefixtures("roomy")
def test_a_run_that_reads_less_than_the_memory_holds_sends_nothing_else(space, no_reads):
    run_kept(task_of(space, queries=2))  # 24 of 32 images
    assert no_reads != []


@pytest.mark.usefixtures("roomy")
def test_a_run_that_is_stopped_lets_go(space, no_reads):
    run = run_passes(task_of(space))
    next(run)
    assert no_reads == []
    run.close()
    space.retriever.tokens.patches([0])
    assert len(no_reads) == 1


@pytest.mark.usefixtures("roomy")
def test_tokens_stay_until_the_last_holder_lets_go(space, no_reads):
    tokens, inside, go = space.retriever.tokens, threading.Event(), threading.Event()

    def other():
        with tokens.held():
            inside.set()
            go.wait(10)

    thread = threading.Thread(target=other)
    with tokens.held():
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
    space, no_reads, monkeypatch
):
    config, record = space.retriever.model.config, space.dataset.query[0]
    image = to_tensor([resize_image(space.dataset.read(record), config.image_size)], config)
    usual, real = space.retriever.search(image, SETTINGS), retrieval.ground_cost
    no_reads.clear()
    with space.retriever.tokens.held():

        def costs(query, gallery):
            if not no_reads:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return real(query, gallery)

        monkeypatch.setattr(retrieval, "ground_cost", costs)
        with shortages() as heard:
            found = space.retriever.search(image, SETTINGS)
        assert heard == ["CPU had no memory left for the transport: the gallery's tokens no longer stay there"]
        assert no_reads != []
    np.testing.assert_array_equal(found.match.transport.distance, usual.match.transport.distance)
    with space.retriever.tokens.held() as held:  # the next run tries again
        assert held


def test_what_does_not_fit_is_read_as_usual(space, no_reads, monkeypatch):
    monkeypatch.setattr(device_tokens, "room", lambda device: space.retriever.memory.tokens.nbytes - 1)
    with space.retriever.tokens.held() as held:
        assert not held
        space.retriever.tokens.patches([0])
    assert len(no_reads) == 1


@pytest.mark.usefixtures("roomy")
def test_a_device_that_fills_up_meanwhile_leaves_them_where_they_are(space, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "empty", full)
    with space.retriever.tokens.held() as held:
        assert not held


def test_the_cpu_holds_nothing_and_a_gpu_half_of_what_is_free(monkeypatch):
    assert room(torch.device("cpu")) == 0
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 4000))
    assert room(torch.device("cuda:0")) == 500


@pytest.mark.usefixtures("roomy")
def test_tokens_in_main_memory_of_any_type_are_held_as_they_are():
    tokens = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(np.float32)
    memory = GalleryMemory(np.ones((3, 5), np.float32), tokens, np.ones((3, 5), np.float32), ("a", "b", "c"), (2, 2))
    kept = ResidentTokens(memory, torch.device("cpu"))
    with kept.held():
        np.testing.assert_array_equal(kept.patches([2, 1]).numpy(), tokens[[2, 1]])
