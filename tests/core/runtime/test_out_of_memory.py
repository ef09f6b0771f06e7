"""Memory that runs out: smaller parts, then the CPU, and somebody is told."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from fpc_core import retrieval
from fpc_core.cli import main
from fpc_core.config import QuerySettings, Solver, TransportSettings
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.gallery import encoder as holistic
from fpc_core.gallery.builder import build_memory
from fpc_core.runtime.out_of_memory import OomFallback, OutOfMemoryError, collect_oom_events, is_out_of_memory
from fpc_core.workspace import load_model, open_workspace

CUDA = torch.device("cuda:0")  # only named
OUT = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
SETTINGS = QuerySettings(neighbors=4, shortlist=12)


def bounded(most, asked):
    """Doubles rows; has memory for `most` of them at once."""

    def work(rows):
        asked.append((rows.start, rows.stop))
        if rows.stop - rows.start > most:
            raise OUT
        return [2 * row for row in range(rows.start, rows.stop)]

    return work


def joined(parts):
    return [each for part in parts for each in part]


def no_cpu():
    raise AssertionError("the device was enough")


def out_above(most, function, count_of):
    """The function, with memory for `most` rows of its arguments."""

    def planted(*arguments):
        if count_of(*arguments) > most:
            raise OUT
        return function(*arguments)

    return planted


@pytest.fixture(scope="module")
def workspace(small_places):
    return open_workspace(small_places, "cpu")


@pytest.fixture(scope="module")
def images(workspace):
    config, records = workspace.retriever.model.config, workspace.dataset.query[:4]
    pictures = to_tensor([resize_image(workspace.dataset.read(each), config.image_size) for each in records], config)
    return pictures, torch.tensor([each.camera for each in records])


def test_what_fits_is_computed_at_once_and_nothing_is_said():
    asked = []
    with collect_oom_events() as heard:
        assert OomFallback("it", CUDA)(5, bounded(5, asked), joined, no_cpu) == [0, 2, 4, 6, 8]
    assert asked == [(0, 5)]
    assert heard == []


def test_parts_are_halved_until_they_fit_and_what_is_done_is_not_done_again(caplog):
    asked, portions = [], OomFallback("the encoder", CUDA)
    with collect_oom_events() as heard, caplog.at_level(logging.WARNING):
        assert portions(11, bounded(3, asked), joined, no_cpu) == list(range(0, 22, 2))
    assert asked == [(0, 11), (0, 5), (0, 2), (2, 4), (4, 6), (6, 8), (8, 10), (10, 11)]
    assert heard == ["CUDA:0 ran out of memory in the encoder: computed in parts of 2"]
    assert heard[0] in caplog.text


def test_the_next_rows_begin_with_the_parts_that_fit_and_it_is_said_once():
    asked, portions = [], OomFallback("the encoder", CUDA)
    with collect_oom_events() as heard:
        portions(8, bounded(4, []), joined, no_cpu)
        assert portions(8, bounded(4, asked), joined, no_cpu) == list(range(0, 16, 2))
    assert asked == [(0, 4), (4, 8)]
    assert len(heard) == 1


def test_what_a_device_cannot_hold_at_all_is_computed_on_the_cpu_and_the_device_is_not_asked_again():
    asked, portions = [], OomFallback("the transport", CUDA)
    with collect_oom_events() as heard:
        assert portions(4, bounded(0, asked), joined, lambda: "by the CPU") == "by the CPU"
        assert portions(4, bounded(0, asked), joined, lambda: "again") == "again"
    assert asked == [(0, 4), (0, 2), (0, 1)]
    assert heard == ["CUDA:0 ran out of memory in the transport: computed on the CPU"]


def test_what_is_kept_for_speed_alone_goes_before_anything_is_computed_in_parts():
    asked, kept = [], ["tokens"]

    def work(rows):
        asked.append((rows.start, rows.stop))
        if kept:
            raise OUT
        return list(range(rows.start, rows.stop))

    def free_memory():
        return f"{kept.pop()} went" if kept else ""

    with collect_oom_events() as heard:
        assert OomFallback("it", CUDA)(5, work, joined, no_cpu, free_memory) == [0, 1, 2, 3, 4]
    assert asked == [(0, 5), (0, 5)]
    assert heard == ["CUDA:0 ran out of memory in it: tokens went"]


def test_where_that_is_not_enough_it_is_computed_in_parts():
    asked, given = [], iter(["tokens went"])
    with collect_oom_events() as heard:
        portions = OomFallback("it", CUDA)
        assert portions(4, bounded(2, asked), joined, no_cpu, lambda: next(given, "")) == [0, 2, 4, 6]
    assert asked == [(0, 4), (0, 4), (0, 2), (2, 4)]
    assert [text.split(": ")[1] for text in heard] == ["tokens went", "computed in parts of 2"]


def test_where_the_cpu_has_none_left_the_message_says_for_what_and_what_to_do():
    with pytest.raises(OutOfMemoryError, match=r"out of memory in the decoder; close other programs"):
        OomFallback("the decoder", torch.device("cpu"))(2, bounded(0, []), joined, no_cpu)


@pytest.mark.parametrize(
    "error",
    [
        OUT,
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_every_way_of_saying_it_is_understood(error):
    assert is_out_of_memory(error)


def test_other_errors_are_not_taken_for_it():
    def wrong(rows):
        raise RuntimeError("tensors on different devices")

    with pytest.raises(RuntimeError, match="different devices"):
        OomFallback("it", CUDA)(2, wrong, joined, no_cpu)


def test_a_search_in_parts_finds_what_it_finds_at_once(workspace, images, monkeypatch):
    pictures, cameras = images
    for solver in (Solver.SINKHORN, Solver.EXACT):
        settings = replace(SETTINGS, transport=TransportSettings(solver))
        whole = workspace.retriever.search(pictures[:1], settings, cameras[:1])
        with monkeypatch.context() as patch, collect_oom_events() as heard:
            patch.setattr(
                retrieval, "ground_cost", out_above(5, retrieval.ground_cost, lambda _, gallery: len(gallery))
            )
            parts = workspace.retriever.search(pictures[:1], settings, cameras[:1])
        assert heard == ["CPU ran out of memory in the transport: computed in parts of 3"]
        for name in ("distance", "iterations", "query_marginal", "gallery_potential"):
            np.testing.assert_allclose(
                getattr(parts.match.transport, name), getattr(whole.match.transport, name), atol=1e-5, err_msg=name
            )
        assert parts.final.indices.tolist() == whole.final.indices.tolist()


def test_a_shortlist_that_memory_runs_out_for_is_told_as_any_other_stage(workspace, images, monkeypatch):
    pictures, cameras = images
    monkeypatch.setattr(
        workspace.retriever.index, "search", out_above(0, workspace.retriever.index.search, lambda *_: 1)
    )
    with pytest.raises(OutOfMemoryError, match="the shortlist"):
        workspace.retriever.search(pictures[:1], SETTINGS, cameras[:1])


def test_the_released_solver_is_never_split(workspace, images, monkeypatch):
    pictures, cameras = images
    settings = replace(SETTINGS, transport=TransportSettings(Solver.RELEASED))
    monkeypatch.setattr(retrieval, "ground_cost", out_above(5, retrieval.ground_cost, lambda _, gallery: len(gallery)))
    with pytest.raises(OutOfMemoryError, match="transport"):
        workspace.retriever.search(pictures[:1], settings, cameras[:1])


def test_encodings_and_consolidations_in_parts_are_those_of_the_whole(workspace, images, monkeypatch):
    retriever, (pictures, cameras) = workspace.retriever, images
    prune = SETTINGS.prune
    sets = [np.array([0, 1]), np.array([2, 3]), np.array([1, 4])]
    whole = retriever.encode(retriever.prepare(pictures, cameras), prune)
    features = retriever.consolidate_sets(whole[:1], sets, SETTINGS.variant)
    encoder = retriever.model.encoder
    for name in ("prefix", "finish"):
        of = (lambda images, *_: len(images)) if name == "prefix" else (lambda state, *_: len(state.tokens))
        monkeypatch.setattr(encoder, name, out_above(2, getattr(encoder, name), of))
    monkeypatch.setattr(
        retriever.model, "consolidate_sets", out_above(1, retriever.model.consolidate_sets, lambda *all_: len(all_[4]))
    )
    with collect_oom_events() as heard:
        parts = retriever.encode(retriever.prepare(pictures, cameras), prune)
        of_parts = retriever.consolidate_sets(whole[:1], sets, SETTINGS.variant)
    assert len(heard) == 3
    torch.testing.assert_close(parts.tokens, whole.tokens, atol=1e-4, rtol=0)
    assert [stage.block for stage in parts.stages] == [stage.block for stage in whole.stages]
    torch.testing.assert_close(parts.positions, whole.positions)
    np.testing.assert_allclose(of_parts, features, atol=1e-4)


def test_a_memory_is_built_in_smaller_batches_and_holds_the_same(
    small_places, workspace, tmp_path, monkeypatch, caplog
):
    model, _ = load_model(small_places)
    monkeypatch.setattr(model, "encode", out_above(3, model.encode, lambda images, *_: len(images)))
    with caplog.at_level(logging.WARNING):
        built = build_memory(
            model, workspace.dataset.gallery, workspace.dataset.root, tmp_path / "memory", batch_size=8
        )
    assert caplog.text.count("CPU ran out of memory in the encoder: computed in parts of 2") == 1
    usual = workspace.retriever.memory
    np.testing.assert_allclose(built.cls, usual.cls, atol=1e-4)
    np.testing.assert_allclose(built.features, usual.features, atol=1e-3)
    rows = np.arange(len(usual))
    np.testing.assert_allclose(built.tokens[rows], usual.tokens[rows], atol=4e-3)  # float16 of values up to 4


def test_a_machine_without_memory_is_one_line_on_stderr(small_places, tmp_path, monkeypatch, capsys):
    def nothing_left(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")

    monkeypatch.setattr(holistic.FPC, "encode", nothing_left)
    told = ["--data", str(small_places.data), "--weights", str(small_places.weights), "--memory", str(tmp_path / "it")]
    assert main(["memory", "build", *told, "--device", "cpu"]) == 2
    said = capsys.readouterr().err
    assert "error: out of memory in the encoder" in said
    assert "Traceback" not in said
