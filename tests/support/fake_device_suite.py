"""Run all stages on the fake device and compare the results with those on the CPU.

    python -m tests.support.fake_device_suite DATA WEIGHTS MEMORY EMPTY

The first three arguments are the paths of a small workspace, the last one is an empty folder to build in. The script
fails if a tensor is on the wrong device or a result differs by more than `device_parity.BOUNDS`.
"""

import os
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from fpc_core import retrieval
from fpc_core.config import (
    MapMethod,
    MapSettings,
    MapTarget,
    Precision,
    QuerySettings,
    Solver,
    TransportSettings,
    Variant,
)
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.evaluation.device_parity import BOUNDS, parity
from fpc_core.evaluation.engine.runner import run_with_store
from fpc_core.evaluation.metrics.retrieval import l2_normalize
from fpc_core.evaluation.paper_tables.definitions import scores_table
from fpc_core.evaluation.paper_tables.score_recipe import ScoreRecipe
from fpc_core.evaluation.paper_tables.task import evaluation_task
from fpc_core.explain.heatmap_methods import DECODER_METHODS
from fpc_core.explain.heatmaps import decoder_map, encoder_map
from fpc_core.explain.lifelines import fell_in, life_line
from fpc_core.gallery.builder import build_memory
from fpc_core.lessons.context import lesson_context
from fpc_core.lessons.course import lesson
from fpc_core.matching.shortlist import TorchIndex
from fpc_core.report.sources import query_of
from fpc_core.runtime.out_of_memory import collect_oom_events
from fpc_core.workspace import Places, Workspace, open_workspace
from tests.support.fake_device import DEVICE, FakeDeviceTensor, count_waits, fake_device

SETTINGS = QuerySettings(neighbors=4, shortlist=12)


def searches(here: Workspace, there: Workspace, images: torch.Tensor, cameras: torch.Tensor) -> None:
    bounds = BOUNDS[Precision.FLOAT32]
    solvers = [replace(SETTINGS, transport=TransportSettings(each)) for each in (Solver.SINKHORN, Solver.RELEASED)]
    exact = replace(SETTINGS, shortlist=1, neighbors=1, transport=TransportSettings(Solver.EXACT))
    for search_settings in (*solvers, exact, replace(SETTINGS, variant=Variant.PAPER)):
        result = parity(here.retriever, there.retriever, images, cameras, search_settings)
        assert result.beyond(bounds) == [], (search_settings, str(result))
    result = parity(here.retriever, there.retriever, images[:1], None, SETTINGS.with_keep_rate(1.0))
    assert result.beyond(bounds) == [], str(result)
    with (
        mock.patch("fpc_core.gallery.device_tokens.available_bytes", return_value=1 << 40),
        there.retriever.tokens.pinned() as pinned_tokens,
    ):
        assert pinned_tokens
        assert isinstance(there.retriever.tokens.patches([0]), FakeDeviceTensor)
        result = parity(here.retriever, there.retriever, images, cameras, SETTINGS)
        assert result.beyond(bounds) == [], str(result)


def waits(there: Workspace, images: torch.Tensor, cameras: torch.Tensor) -> None:
    """Check how often a match waits for the device, because a GPU is idle during every wait."""
    retriever = there.retriever
    encoding = retriever.encode(retriever.prepare(images[:1], cameras[:1]), SETTINGS.prune)
    retriever.match(encoding, SETTINGS)  # Create everything that is created only once.
    with count_waits() as names:
        result = retriever.match(encoding, SETTINGS)
    rounds = int(result.transport.iterations.max()) // 5 + 1
    # The shortlist waits three times (limit, rows, query), the check once, and the solver once a round and for each of
    # its seven results.
    assert len(names) <= 3 + 1 + rounds + 7, names


def memory(here: Workspace, there: Workspace, folder: Path) -> None:
    dataset = here.dataset
    built = build_memory(there.retriever.model, dataset.gallery, dataset.root, folder / "memory")
    reference = here.retriever.memory
    np.testing.assert_allclose(built.cls, reference.cls, atol=1e-4)
    np.testing.assert_allclose(l2_normalize(built.features), l2_normalize(reference.features), atol=1e-4)
    rows = np.arange(len(reference))
    # Tokens are float16 with values up to 4.
    np.testing.assert_allclose(built.tokens[rows], reference.tokens[rows], atol=4e-3)


def scores(here: Workspace, there: Workspace) -> None:
    results = []
    for workspace in (here, there):
        table = scores_table(ScoreRecipe(settings=replace(SETTINGS, shortlist=8)))
        task = evaluation_task(workspace.retriever, workspace.dataset, [table])
        rows = task.filled(run_with_store(task.work).known)[0].rows
        results.append([row.ours["mAP"].value for row in rows if row.ours])
    assert results[0] == results[1], results


def out_of_memory(here: Workspace, there: Workspace, images: torch.Tensor, cameras: torch.Tensor, folder: Path) -> None:
    """Simulate a device without free memory, and check that the CPU does all the work and reports each fallback."""

    def nothing_left(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("out of memory")

    model = there.retriever.model
    parts = [(model.encoder, "prefix"), (model.encoder, "finish"), (model, "encode"), (model, "consolidate")]
    parts += [(model, "consolidate_sets"), (model, "global_feature"), (model.decoder.block, "forward")]
    real, unit = retrieval.ground_cost, TorchIndex._unit

    def costs(query: torch.Tensor, gallery: torch.Tensor) -> torch.Tensor:
        return nothing_left() if isinstance(query, FakeDeviceTensor) else real(query, gallery)

    def units(index: TorchIndex, device: torch.device) -> torch.Tensor:
        return unit(index, device) if device.type == "cpu" else nothing_left()

    with ExitStack() as stack:
        for owner, name in parts:
            stack.enter_context(mock.patch.object(owner, name, nothing_left))
        stack.enter_context(mock.patch.object(retrieval, "ground_cost", costs))
        stack.enter_context(mock.patch.object(TorchIndex, "_unit", units))
        events = stack.enter_context(collect_oom_events())
        result = parity(here.retriever, there.retriever, images, cameras, SETTINGS)
        assert result.beyond(BOUNDS[Precision.FLOAT32]) == [], str(result)
        assert {text.split(" memory in ")[1] for text in events} == {
            f"the {each}: computed on the CPU" for each in ("encoder", "shortlist", "transport", "decoder")
        }, events
        memory(here, there, folder)
        scores(here, there)
        trace = there.retriever.search(images[:1], SETTINGS, cameras[:1])
        reference = here.retriever.search(images[:1], SETTINGS, cameras[:1])
        expected, computed = (
            decoder_map(retriever, its_trace, MapSettings(index=1))
            for retriever, its_trace in ((here.retriever, reference), (there.retriever, trace))
        )
        np.testing.assert_allclose(computed.neighbor_grids, expected.neighbor_grids, atol=1e-3 * expected.peak)


def explanations(here: Workspace, there: Workspace, images: torch.Tensor, cameras: torch.Tensor) -> None:
    ways = [MapSettings(method, target) for method in DECODER_METHODS for target in MapTarget]
    drawn: list[list[np.ndarray]] = []
    for workspace in (here, there):
        retriever, maps = workspace.retriever, []
        trace = retriever.search(images[:1], replace(SETTINGS, variant=Variant.PAPER), cameras[:1])
        maps += [decoder_map(retriever, trace, replace(how, index=1)).neighbor_grids for how in ways]
        state = retriever.prepare(images[:1], cameras[:1])
        maps += [
            encoder_map(retriever, state, SETTINGS.prune, MapSettings(method, index=1)).query_grid
            for method in MapMethod
        ]
        assert len(retriever.trace_blocks(images[:1], cameras[:1], SETTINGS.prune)) == retriever.model.config.depth
        maps += [
            fell_in(trace.encoding).astype(float),
            np.array([each.attention for each in life_line(trace.encoding, 5)]),
        ]
        source = query_of(workspace.dataset.query[0].path, workspace.dataset)
        assert len(lesson(lesson_context(retriever, trace, source.subject, workspace.dataset.uses_cameras))) == 10
        drawn.append(maps)
    for ours, theirs in zip(*drawn, strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-3 * float(np.nanmax(np.abs(ours))))


def main(data: str, weights: str, memory_folder: str, empty: str) -> None:
    places = Places(Path(data), Path(weights), Path(memory_folder))
    here = open_workspace(places, "cpu")
    config = here.retriever.model.config
    records = here.dataset.query[:1]
    images = to_tensor([resize_image(here.dataset.read(record), config.image_size) for record in records], config)
    cameras = torch.tensor([record.camera for record in records])
    with fake_device(), mock.patch("fpc_core.workspace.workspace.devices", return_value=("cpu", DEVICE)):
        there = open_workspace(places, DEVICE)
        assert all(isinstance(each, FakeDeviceTensor) for each in there.retriever.model.state_dict().values())
        searches(here, there, images, cameras)
        waits(there, images, cameras)
        memory(here, there, Path(empty))
        scores(here, there)
        explanations(here, there, images, cameras)
        out_of_memory(here, there, images, cameras, Path(empty) / "short")


if __name__ == "__main__":
    main(*sys.argv[1:])
    # All checks have passed. A normal exit once aborted with "terminate called without an active exception": a C++
    # thread was still running. Which one is unknown.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
