"""The whole path on a device that is not the CPU, compared with the CPU.

`python -m tests.support.fake_device_suite PLACES`

PLACES: data, weights and memory of a small world, then an empty folder to build into. Exits with an error where a
tensor lies on the wrong device or a result is beyond the bounds of parity.
"""

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
from tests.support.fake_device import DEVICE, Elsewhere, counted_waits, pretended

SETTINGS = QuerySettings(neighbors=4, shortlist=12)


def searches(here: Workspace, there: Workspace, images: torch.Tensor, cameras: torch.Tensor) -> None:
    bounds = BOUNDS[Precision.FLOAT32]
    solvers = [replace(SETTINGS, transport=TransportSettings(each)) for each in (Solver.SINKHORN, Solver.RELEASED)]
    exact = replace(SETTINGS, shortlist=1, neighbors=1, transport=TransportSettings(Solver.EXACT))
    for search_settings in (*solvers, exact, replace(SETTINGS, variant=Variant.PAPER)):
        found = parity(here.retriever, there.retriever, images, cameras, search_settings)
        assert found.beyond(bounds) == [], (search_settings, str(found))
    found = parity(here.retriever, there.retriever, images[:1], None, SETTINGS.with_keep_rate(1.0))
    assert found.beyond(bounds) == [], str(found)
    with (
        mock.patch("fpc_core.gallery.device_tokens.available_bytes", return_value=1 << 40),
        there.retriever.tokens.pinned() as pinned_tokens,
    ):
        assert pinned_tokens
        assert isinstance(there.retriever.tokens.patches([0]), Elsewhere)
        found = parity(here.retriever, there.retriever, images, cameras, SETTINGS)
        assert found.beyond(bounds) == [], str(found)


def waits(there: Workspace, images: torch.Tensor, cameras: torch.Tensor) -> None:
    """Count how often a match waits for the device; every wait idles a GPU."""
    retriever = there.retriever
    encoding = retriever.encode(retriever.prepare(images[:1], cameras[:1]), SETTINGS.prune)
    retriever.match(encoding, SETTINGS)  # what is made once is made
    with counted_waits() as names:
        found = retriever.match(encoding, SETTINGS)
    rounds = int(found.transport.iterations.max()) // 5 + 1
    # Shortlist: edge, rows, query. Check: one for all. Solver: one a round, and its seven results.
    assert len(names) <= 3 + 1 + rounds + 7, names


def memory(here: Workspace, there: Workspace, folder: Path) -> None:
    dataset = here.dataset
    built = build_memory(there.retriever.model, dataset.gallery, dataset.root, folder / "memory")
    usual = here.retriever.memory
    np.testing.assert_allclose(built.cls, usual.cls, atol=1e-4)
    np.testing.assert_allclose(l2_normalize(built.features), l2_normalize(usual.features), atol=1e-4)
    rows = np.arange(len(usual))
    np.testing.assert_allclose(built.tokens[rows], usual.tokens[rows], atol=4e-3)  # float16 of values up to 4


def scores(here: Workspace, there: Workspace) -> None:
    found = []
    for workspace in (here, there):
        table = scores_table(ScoreRecipe(settings=replace(SETTINGS, shortlist=8)))
        task = evaluation_task(workspace.retriever, workspace.dataset, [table])
        rows = task.filled(run_with_store(task.work).known)[0].rows
        found.append([row.ours["mAP"].value for row in rows if row.ours])
    assert found[0] == found[1], found


def shortage(here: Workspace, there: Workspace, images: torch.Tensor, cameras: torch.Tensor, folder: Path) -> None:
    """Simulate a device without free memory: the CPU does all the work and reports each fallback."""

    def nothing_left(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("out of memory")

    model = there.retriever.model
    parts = [(model.encoder, "prefix"), (model.encoder, "finish"), (model, "encode"), (model, "consolidate")]
    parts += [(model, "consolidate_sets"), (model, "global_feature"), (model.decoder.block, "forward")]
    real, unit = retrieval.ground_cost, TorchIndex._unit

    def costs(query: torch.Tensor, gallery: torch.Tensor) -> torch.Tensor:
        return nothing_left() if isinstance(query, Elsewhere) else real(query, gallery)

    def units(index: TorchIndex, device: torch.device) -> torch.Tensor:
        return unit(index, device) if device.type == "cpu" else nothing_left()

    with ExitStack() as stack:
        for owner, name in parts:
            stack.enter_context(mock.patch.object(owner, name, nothing_left))
        stack.enter_context(mock.patch.object(retrieval, "ground_cost", costs))
        stack.enter_context(mock.patch.object(TorchIndex, "_unit", units))
        events = stack.enter_context(collect_oom_events())
        found = parity(here.retriever, there.retriever, images, cameras, SETTINGS)
        assert found.beyond(BOUNDS[Precision.FLOAT32]) == [], str(found)
        assert {text.split(" memory in ")[1] for text in events} == {
            f"the {each}: computed on the CPU" for each in ("encoder", "shortlist", "transport", "decoder")
        }, events
        memory(here, there, folder)
        scores(here, there)
        trace = there.retriever.search(images[:1], SETTINGS, cameras[:1])
        usual = here.retriever.search(images[:1], SETTINGS, cameras[:1])
        how = MapSettings(index=1)
        drawn = [decoder_map(each, its, how) for each, its in ((here.retriever, usual), (there.retriever, trace))]
        np.testing.assert_allclose(drawn[1].neighbor_grids, drawn[0].neighbor_grids, atol=1e-3 * drawn[0].peak)


def pictures(here: Workspace, there: Workspace, images: torch.Tensor, cameras: torch.Tensor) -> None:
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
    with pretended(), mock.patch("fpc_core.workspace.workspace.devices", return_value=("cpu", DEVICE)):
        there = open_workspace(places, DEVICE)
        assert all(isinstance(each, Elsewhere) for each in there.retriever.model.state_dict().values())
        searches(here, there, images, cameras)
        waits(there, images, cameras)
        memory(here, there, Path(empty))
        scores(here, there)
        pictures(here, there, images, cameras)
        shortage(here, there, images, cameras, Path(empty) / "short")


if __name__ == "__main__":
    main(*sys.argv[1:])
