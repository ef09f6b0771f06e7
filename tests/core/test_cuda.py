"""Every stage on CUDA agrees with the CPU within the bounds of `fpc_core.evaluation.device_parity`. Needs a GPU."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from fpc_core.config import (
    MapMethod,
    MapSettings,
    ModelConfig,
    Precision,
    PruneSettings,
    QuerySettings,
    Solver,
    TransportSettings,
    Variant,
)
from fpc_core.data.datasets import open_dataset
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.evaluation.device_parity import BOUNDS, checked_parity, parity
from fpc_core.evaluation.engine.runner import run_with_store
from fpc_core.evaluation.metrics.retrieval import l2_normalize
from fpc_core.evaluation.paper_tables.definitions import scores_table
from fpc_core.evaluation.paper_tables.score_recipe import ScoreRecipe
from fpc_core.evaluation.paper_tables.task import evaluation_task
from fpc_core.explain.heatmap_methods import DECODER_METHODS
from fpc_core.explain.heatmaps import decoder_map
from fpc_core.gallery.builder import build_memory
from fpc_core.matching.sinkhorn import sinkhorn_batch
from fpc_core.matching.transport import ground_cost, marginals, solve
from fpc_core.model.checkpoint import load_checkpoint
from fpc_core.retrieval import Retriever
from fpc_core.training.batches import training_config
from fpc_core.training.loop import train
from fpc_core.training.settings import TrainSettings
from fpc_core.training.state import WEIGHTS
from fpc_core.workspace import Places, choose_device, load_model, open_workspace
from tests.support.small_workspace import paint

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")

SETTINGS = QuerySettings(neighbors=4)


@pytest.fixture(scope="module")
def here():
    return open_workspace(Places(), "cpu")


@pytest.fixture(scope="module")
def there():
    return open_workspace(Places(), "cuda")


@pytest.fixture(scope="module")
def queries(here):
    config, records = here.retriever.model.config, here.dataset.query[:8]
    images = to_tensor([resize_image(here.dataset.read(record), config.image_size) for record in records], config)
    return images, torch.tensor([record.camera for record in records])


def at(retriever: Retriever, precision: Precision) -> Retriever:
    model = deepcopy(retriever.model)
    model.encoder.precision = precision
    return Retriever(model, retriever.memory, retriever.index)


def test_auto_chooses_cuda():
    assert choose_device().type == "cuda"


@pytest.mark.parametrize("precision", list(Precision))
@pytest.mark.parametrize("variant", list(Variant))
def test_a_search_is_within_the_bounds_of_its_precision(here, there, queries, precision, variant):
    settings = replace(SETTINGS, variant=variant)
    result = parity(here.retriever, at(there.retriever, precision), *queries, settings)
    assert result.beyond(BOUNDS[precision]) == []


def test_the_encoder_in_float32_is_not_tf32(here, there, queries):
    """The 11 bits of TF32 would cause differences near 1e-3 standard deviations."""
    images, cameras = queries
    exact = here.retriever.encode(here.retriever.prepare(images, cameras), PruneSettings(1.0)).tokens
    result = there.retriever.encode(there.retriever.prepare(images, cameras), PruneSettings(1.0)).tokens.cpu()
    assert float((result - exact).abs().max() / exact.std()) < 2e-4


@pytest.mark.parametrize("solver", list(Solver))
def test_every_solver_agrees(here, there, queries, solver):
    settings = replace(SETTINGS, shortlist=20, transport=TransportSettings(solver))
    images, cameras = queries
    result = parity(here.retriever, there.retriever, images[:2], cameras[:2], settings)
    assert result.beyond(BOUNDS[Precision.FLOAT32]) == []


def test_the_batched_solver_meets_its_tolerance_on_cuda():
    torch.manual_seed(0)
    query, gallery = torch.randn(120, 192), torch.randn(100, 242, 192)
    cost = ground_cost(query, gallery)
    a, b = marginals(query.mean(0), query, gallery.mean(1), gallery, Variant.PAPER)
    distance, _, error, *_ = sinkhorn_batch(cost.cuda(), a.cuda(), b.cuda(), 0.05, 1e-4, 2_000)
    on_cpu = solve(cost, a, b, TransportSettings(tolerance=1e-4, max_iterations=2_000))
    assert float(error.max()) <= 1e-4
    np.testing.assert_allclose(distance.cpu().numpy(), on_cpu.distance, atol=2e-4)


@pytest.mark.parametrize("precision", list(Precision))
def test_a_memory_built_on_cuda_is_that_of_the_cpu(here, precision, tmp_path):
    model, _ = load_model(replace(here.places, precision=precision))
    records = here.dataset.gallery[:48]
    built = build_memory(model.cuda(), records, here.dataset.root, tmp_path / "memory")
    expected = here.retriever.memory
    rows = np.arange(len(records))
    exact, result = (each.tokens[rows].astype(np.float32) for each in (expected, built))
    spread, bound, difference = float(exact.std()), BOUNDS[precision].tokens, result - exact
    assert np.abs(difference).max() <= max(bound, 5e-3) * spread  # float16 in the file costs up to 5e-3.
    cosine = (l2_normalize(built.features) * l2_normalize(expected.features[:48])).sum(axis=1)
    assert cosine.min() > 1 - max(BOUNDS[precision].feature, 1e-5) * 10


def test_the_evaluation_has_the_same_scores(here, there):
    result = []
    for workspace in (here, there):
        fewer = replace(workspace.dataset, query=workspace.dataset.query[:40])
        task = evaluation_task(workspace.retriever, fewer, [scores_table(ScoreRecipe(settings=SETTINGS))])
        rows = task.filled(run_with_store(task.work).known)[0].rows
        result.append([row.ours["mAP"].value for row in rows if row.ours])
    np.testing.assert_allclose(result[1], result[0], atol=0.01)


@pytest.mark.parametrize("method", DECODER_METHODS)
def test_heat_maps_agree(here, there, queries, method):
    images, cameras = queries
    how, settings = MapSettings(MapMethod(method), index=0), replace(SETTINGS, variant=Variant.PAPER)
    maps = [
        decoder_map(
            workspace.retriever, workspace.retriever.search(images[:1], settings, cameras[:1]), how
        ).neighbor_grids
        for workspace in (here, there)
    ]
    np.testing.assert_allclose(maps[1], maps[0], atol=1e-2 * float(np.abs(maps[0]).max()))


def test_doctor_s_check_passes(there):
    assert checked_parity(there).beyond(BOUNDS[Precision.FLOAT32]) == []


def test_training_runs_on_cuda(tmp_path):
    for folder, camera, identities in (("query", 1, 1), ("bounding_box_test", 2, 1), ("bounding_box_train", 3, 4)):
        (tmp_path / folder).mkdir()
        for identity in range(1, identities + 1):
            for number in (1, 2):
                paint(identity, camera).save(tmp_path / folder / f"{identity:04d}_c{camera}_f000000{number}.png")
    dataset = open_dataset(tmp_path)
    settings = TrainSettings(
        holistic_steps=2,
        fpc_steps=2,
        identities=3,
        images=2,
        neighbors=3,
        refresh=2,
        blocks=(1,),
        checkpoint_minutes=99,
    )
    config = training_config(dataset, ModelConfig(stride=32, width=32, heads=4, depth=4, token_blocks=3))
    train(dataset, config, settings, tmp_path / "run", device="cuda")
    assert load_checkpoint(tmp_path / "run" / WEIGHTS)[1].config == config
