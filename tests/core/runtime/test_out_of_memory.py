"""Without enough memory, work continues in smaller parts, then on the CPU, and a notice states it."""

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

CUDA = torch.device("cuda:0")  # No tensor is put on this device.
OUT = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
SETTINGS = QuerySettings(neighbors=4, shortlist=12)


def bounded(most, requested):
    """Return a function that doubles a range of rows, and runs out of memory above a number of rows.

    Args:
        most: The largest number of rows that fits.
        requested: A list that collects (first row, end) of every call.
    """

    def work(rows):
        requested.append((rows.start, rows.stop))
        if rows.stop - rows.start > most:
            raise OUT
        return [2 * row for row in range(rows.start, rows.stop)]

    return work


def joined(parts):
    return [each for part in parts for each in part]


def no_cpu():
    raise AssertionError("the CPU was used although the device has enough memory")


def out_above(most, function, count_of):
    """Return a function that runs out of memory above a number of rows.

    Args:
        most: The largest number of rows that fits.
        function: The function to call otherwise.
        count_of: A function that returns the number of rows of the arguments.
    """

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


def test_rows_that_fit_are_computed_at_once_without_a_notice():
    requested = []
    with collect_oom_events() as notices:
        assert OomFallback("it", CUDA)(5, bounded(5, requested), joined, no_cpu) == [0, 2, 4, 6, 8]
    assert requested == [(0, 5)]
    assert notices == []


def test_parts_are_halved_until_they_fit(caplog):
    requested, portions = [], OomFallback("the encoder", CUDA)
    with collect_oom_events() as notices, caplog.at_level(logging.WARNING):
        assert portions(11, bounded(3, requested), joined, no_cpu) == list(range(0, 22, 2))
    assert requested == [(0, 11), (0, 5), (0, 2), (2, 4), (4, 6), (6, 8), (8, 10), (10, 11)]
    assert notices == ["CUDA:0 ran out of memory in the encoder: computed in parts of 2"]
    assert notices[0] in caplog.text


def test_the_part_size_is_kept_and_reported_once():
    requested, portions = [], OomFallback("the encoder", CUDA)
    with collect_oom_events() as notices:
        portions(8, bounded(4, []), joined, no_cpu)
        assert portions(8, bounded(4, requested), joined, no_cpu) == list(range(0, 16, 2))
    assert requested == [(0, 4), (4, 8)]
    assert len(notices) == 1


def test_without_device_memory_everything_runs_on_the_cpu():
    requested, portions = [], OomFallback("the transport", CUDA)
    with collect_oom_events() as notices:
        assert portions(4, bounded(0, requested), joined, lambda: "by the CPU") == "by the CPU"
        assert portions(4, bounded(0, requested), joined, lambda: "again") == "again"
    assert requested == [(0, 4), (0, 2), (0, 1)]
    assert notices == ["CUDA:0 ran out of memory in the transport: computed on the CPU"]


def test_caches_are_released_before_computing_in_parts():
    requested, kept = [], ["tokens"]

    def work(rows):
        requested.append((rows.start, rows.stop))
        if kept:
            raise OUT
        return list(range(rows.start, rows.stop))

    def free_memory():
        return f"{kept.pop()} went" if kept else ""

    with collect_oom_events() as notices:
        assert OomFallback("it", CUDA)(5, work, joined, no_cpu, free_memory) == [0, 1, 2, 3, 4]
    assert requested == [(0, 5), (0, 5)]
    assert notices == ["CUDA:0 ran out of memory in it: tokens went"]


def test_parts_are_used_if_releasing_caches_is_not_enough():
    requested, given = [], iter(["tokens went"])
    with collect_oom_events() as notices:
        portions = OomFallback("it", CUDA)
        assert portions(4, bounded(2, requested), joined, no_cpu, lambda: next(given, "")) == [0, 2, 4, 6]
    assert requested == [(0, 4), (0, 4), (0, 2), (2, 4)]
    assert [text.split(": ")[1] for text in notices] == ["tokens went", "computed in parts of 2"]


def test_out_of_memory_on_the_cpu_names_stage_and_fix():
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
def test_every_kind_of_out_of_memory_error_is_recognised(error):
    assert is_out_of_memory(error)


def test_other_errors_are_not_out_of_memory_errors():
    def wrong(rows):
        raise RuntimeError("tensors on different devices")

    with pytest.raises(RuntimeError, match="different devices"):
        OomFallback("it", CUDA)(2, wrong, joined, no_cpu)


def test_a_search_in_parts_has_the_same_result(workspace, images, monkeypatch):
    pictures, cameras = images
    for solver in (Solver.SINKHORN, Solver.EXACT):
        settings = replace(SETTINGS, transport=TransportSettings(solver))
        whole = workspace.retriever.search(pictures[:1], settings, cameras[:1])
        with monkeypatch.context() as patch, collect_oom_events() as notices:
            patch.setattr(
                retrieval, "ground_cost", out_above(5, retrieval.ground_cost, lambda _, gallery: len(gallery))
            )
            parts = workspace.retriever.search(pictures[:1], settings, cameras[:1])
        assert notices == ["CPU ran out of memory in the transport: computed in parts of 3"]
        for name in ("distance", "iterations", "query_marginal", "gallery_potential"):
            np.testing.assert_allclose(
                getattr(parts.match.transport, name), getattr(whole.match.transport, name), atol=1e-5, err_msg=name
            )
        assert parts.final.indices.tolist() == whole.final.indices.tolist()


def test_out_of_memory_in_the_shortlist_is_reported_too(workspace, images, monkeypatch):
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


def test_encoding_and_consolidation_in_parts_are_equal(workspace, images, monkeypatch):
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
    with collect_oom_events() as notices:
        parts = retriever.encode(retriever.prepare(pictures, cameras), prune)
        of_parts = retriever.consolidate_sets(whole[:1], sets, SETTINGS.variant)
    assert len(notices) == 3
    torch.testing.assert_close(parts.tokens, whole.tokens, atol=1e-4, rtol=0)
    assert [stage.block for stage in parts.stages] == [stage.block for stage in whole.stages]
    torch.testing.assert_close(parts.positions, whole.positions)
    np.testing.assert_allclose(of_parts, features, atol=1e-4)


def test_a_gallery_memory_built_in_smaller_parts_is_equal(small_places, workspace, tmp_path, monkeypatch, caplog):
    model, _ = load_model(small_places)
    monkeypatch.setattr(model, "encode", out_above(3, model.encode, lambda images, *_: len(images)))
    with caplog.at_level(logging.WARNING):
        built = build_memory(
            model, workspace.dataset.gallery, workspace.dataset.root, tmp_path / "memory", batch_size=8
        )
    assert caplog.text.count("CPU ran out of memory in the encoder: computed in parts of 2") == 1
    expected = workspace.retriever.memory
    np.testing.assert_allclose(built.cls, expected.cls, atol=1e-4)
    np.testing.assert_allclose(built.features, expected.features, atol=1e-3)
    rows = np.arange(len(expected))
    np.testing.assert_allclose(built.tokens[rows], expected.tokens[rows], atol=4e-3)  # Values up to 4 in float16.


def test_out_of_memory_is_one_line_on_stderr(small_places, tmp_path, monkeypatch, capsys):
    def nothing_left(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")

    monkeypatch.setattr(holistic.FPC, "encode", nothing_left)
    paths = ["--data", str(small_places.data), "--weights", str(small_places.weights), "--memory", str(tmp_path / "it")]
    assert main(["memory", "build", *paths, "--device", "cpu"]) == 2
    message = capsys.readouterr().err
    assert "error: out of memory in the encoder" in message
    assert "Traceback" not in message
