"""Protocols decide which images count for a query, stand next to every score, and warn of meaningless scores."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fpc_core.cli import main
from fpc_core.config import PruneSettings, QuerySettings
from fpc_core.data.datasets import open_dataset
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.data.match_label import MatchLabel, QueryIdentity, match_label, subject_of
from fpc_core.data.protocols import PROTOCOL_TEXT, Protocol
from fpc_core.evaluation.engine.passes import ENCODER, Pass, PassTask, Point
from fpc_core.evaluation.engine.protocol import feature_distance, score_distance
from fpc_core.evaluation.engine.result_store import ResultStore
from fpc_core.evaluation.engine.runner import run_with_store
from fpc_core.evaluation.failure_analysis.task import AtlasTask
from fpc_core.evaluation.metrics.retrieval import evaluate
from fpc_core.evaluation.sweep.tables import sweep_table
from fpc_core.evaluation.sweep.task import SweepGrid, SweepTask
from fpc_core.gallery.builder import build_memory
from fpc_core.gallery.memory import GalleryMemoryError
from fpc_core.model.checkpoint import load_checkpoint
from fpc_core.workspace import Places, open_workspace
from tests.support.data_cases import body, lay_out, persons, street


def workspace_of(root, weights, folder, **options):
    places = Places(root, weights, folder / "memory", **options)
    dataset = places.open_dataset()
    build_memory(load_checkpoint(weights)[0].eval(), dataset.gallery, dataset.root, places.memory)
    return open_workspace(places, "cpu")


@pytest.fixture(scope="module")
def people(small_places, tmp_path_factory):
    root = tmp_path_factory.mktemp("people")
    return workspace_of(lay_out(root / "data", persons(), noise=True), small_places.weights, root)


@pytest.fixture
def world_of(small_places, tmp_path):
    def make(names, name="own", **options):
        return workspace_of(lay_out(tmp_path / name, names, noise=True), small_places.weights, tmp_path, **options)

    return make


def test_a_query_is_not_compared_with_its_own_file(people):
    settings = QuerySettings(neighbors=3, shortlist=people.dataset.shortlist)
    for row, record in enumerate(people.dataset.query):
        image = to_tensor([people.image(record)], people.retriever.model.config)
        trace = people.retriever_for(record.path).search(image, settings)
        for ranking in (trace.by_cosine, trace.by_distance, trace.final):
            assert sorted([*ranking.indices.tolist(), row]) == list(range(12))
        assert row in people.retriever.search(image, settings).final.indices
        own = subject_of(record, people.dataset)
        assert match_label(record, own, False) is MatchLabel.JUNK
        assert match_label(record, QueryIdentity(record.identity, -1), False) is MatchLabel.MATCH


def test_leave_one_out_scores_equal_those_of_single_galleries(people):
    dataset, memory = people.dataset, people.retriever.memory
    eval_pass = Pass(QuerySettings(shortlist=dataset.shortlist), (ENCODER, Point(0.4, 3)))
    task = PassTask(people.retriever, dataset, dataset.query, (eval_pass,))
    result = run_with_store(task).known[eval_pass]
    for row, record in enumerate(dataset.query):
        others = np.array([index for index in range(12) if index != row])
        image = to_tensor([people.image(record)], people.retriever.model.config)
        feature = people.retriever.global_feature(
            people.retriever.encode(people.retriever.prepare(image), eval_pass.settings.prune)
        )
        distance = feature_distance(feature[None], memory.unit_features[others])
        alone = evaluate(distance, [record.identity], [dataset.gallery[index].identity for index in others])
        assert result.average_precision[row, 0] == pytest.approx(alone.mean_ap)
        assert result.first_match[row, 0] == alone.first_match[0]


def test_the_own_row_is_neither_match_nor_wrong_answer():
    distance = np.array([[0.0, 0.3, 0.2, 0.1]])
    scores = evaluate(distance, [1], [1, 1, 2, 2], own_rows=[0])
    assert (scores.first_match.tolist(), scores.mean_ap) == ([2], pytest.approx(1 / 3))
    assert evaluate(distance, [1], [1, 1, 2, 2]).first_match.tolist() == [0]


def test_the_atlas_classifies_every_image_of_a_folder_without_a_split(people):
    task = AtlasTask(people.retriever, people.dataset, QuerySettings(neighbors=2, shortlist=people.dataset.shortlist))
    cases = task.cases_with_pairs(run_with_store(task.work).known)
    assert len(cases) == 12
    for row, (case, _) in enumerate(cases):
        assert all(answer.hit != row for answer in case.answers.values())


def test_cameras_decide_by_default_and_can_be_ignored(small_places):
    with_cameras = open_dataset(small_places.data)
    without = open_dataset(small_places.data, protocol="no-cameras")
    same_camera = np.array([[q.camera != g.camera for g in with_cameras.gallery] for q in with_cameras.query], float)
    ids = np.array([[q.identity != g.identity for g in with_cameras.gallery] for q in with_cameras.query], float)
    distance = 2 * ids + same_camera  # The image from the query's camera is nearest.
    assert score_distance(distance, without.query, without).first_match.tolist() == [0] * 8
    assert score_distance(distance, with_cameras.query, with_cameras).mean_ap == 1
    further = 2 * ids - 3 * ids * same_camera + (1 - same_camera) * 5
    assert score_distance(further, with_cameras.query, with_cameras).first_match.tolist() != [0] * 8


@pytest.mark.parametrize("protocol", [Protocol.CAMERAS, Protocol.NO_CAMERAS])
def test_the_protocol_stands_next_to_every_score(world_of, capsys, protocol):
    workspace = world_of(street([1], [1, 2]), protocol=protocol.value)
    places = workspace.places
    where = ["--data", str(places.data), "--weights", str(places.weights), "--memory", str(places.memory)]
    assert main(["evaluate", "-k", "2", "--no-cache", "--protocol", protocol.value, *where]) == 0
    output = capsys.readouterr()
    assert PROTOCOL_TEXT[protocol] in output.out
    grid = ["--keep-rates", "0.8", "--alphas", "0.4", "-k", "2"]
    assert main(["sweep", *grid, "--no-cache", "--protocol", protocol.value, *where]) == 0
    assert PROTOCOL_TEXT[protocol] in capsys.readouterr().out
    assert main(["doctor", "--protocol", protocol.value, *where]) == 0
    assert PROTOCOL_TEXT[protocol] in capsys.readouterr().out
    task = SweepTask(
        workspace.retriever, workspace.dataset, SweepGrid((0.8,), (0.4,), (2,)), QuerySettings(neighbors=1)
    )
    assert set(sweep_table(task, run_with_store(task.work).known)["protocol"]) == {protocol.value}


def test_one_camera_is_refused_with_the_protocol_that_works(world_of, capsys):
    places = world_of(street([1], [1])).places
    where = ["--data", str(places.data), "--weights", str(places.weights), "--memory", str(places.memory)]
    for command in (["evaluate", "-k", "2"], ["sweep", "-k", "2"]):
        assert main([*command, "--no-cache", *where]) == 2
        assert (
            "no person was seen by two cameras; to count them, use the protocol no-cameras" in capsys.readouterr().err
        )
    assert main(["evaluate", "-k", "2", "--no-cache", "--protocol", "no-cameras", *where]) == 0
    output = capsys.readouterr()
    assert "12 of 12 queries have a copy in the gallery (same name and content)" in output.out
    assert "warning: 12 of 12 queries" in output.err


def test_one_identity_is_flagged_next_to_the_scores(world_of, capsys):
    places = world_of({"query/anna": ["1.png"], "gallery/anna": ["2.png", "3.png"]}).places
    where = ["--data", str(places.data), "--weights", str(places.weights), "--memory", str(places.memory)]
    assert main(["evaluate", "-k", "2", "--no-cache", *where]) == 0
    assert "All gallery images show one person, so every hit is right" in capsys.readouterr().out


def test_query_leaves_out_its_own_file_and_prints_the_notes(people, capsys):
    places = people.places
    where = ["--data", str(places.data), "--weights", str(places.weights), "--memory", str(places.memory)]
    assert main(["query", str(places.data / "anna" / "0_0.png"), "-k", "2", *where]) == 0
    output = capsys.readouterr()
    assert "0_0.png" not in output.out
    assert "note: There is no split" in output.err


def test_a_memory_with_other_cameras_is_refused_with_the_option(world_of):
    workspace = world_of(body(), "Occluded_REID")
    assert {record.camera for record in workspace.retriever.memory.records} == {1}
    with pytest.raises(
        GalleryMemoryError, match="was built with --cameras released, but --cameras none is in use; use --c"
    ):
        open_workspace(replace(workspace.places, variant="paper"), "cpu")
    again = open_workspace(replace(workspace.places, variant="paper", cameras="released"), "cpu")
    np.testing.assert_array_equal(again.retriever.memory.features, workspace.retriever.memory.features)


def test_the_released_variant_encodes_query_and_gallery_by_its_cameras(world_of):
    workspace = world_of(body(), "Occluded_REID")
    model, dataset = workspace.retriever.model, workspace.dataset
    images = [resize_image(dataset.read(record), model.config.image_size) for record in dataset.gallery]
    stack = to_tensor(images, model.config)
    whole = PruneSettings(1.0)
    second = workspace.retriever.encode(workspace.retriever.prepare(stack, torch.full((12,), 1)), whole)
    np.testing.assert_allclose(workspace.retriever.memory.cls, second.cls.numpy(), atol=1e-5)
    mean = workspace.retriever.encode(workspace.retriever.prepare(stack), whole)
    assert np.abs(workspace.retriever.memory.cls - mean.cls.numpy()).max() > 1e-3
    assert {record.camera for record in dataset.query} == {0}


def test_dataset_protocols_are_part_of_the_key_of_a_workspace(small_places):
    keys = {
        open_workspace(replace(small_places, protocol=each), "cpu").key for each in ("auto", "cameras", "no-cameras")
    }
    assert len(keys) == 2


def test_results_of_another_protocol_are_not_reused(small_places, tmp_path):
    store, found = ResultStore(tmp_path), []
    for protocol in ("cameras", "no-cameras"):
        workspace = open_workspace(replace(small_places, protocol=protocol), "cpu")
        eval_pass = Pass(QuerySettings(neighbors=1, shortlist=5), (ENCODER,))
        task = PassTask(workspace.retriever, workspace.dataset, workspace.dataset.query, (eval_pass,))
        found.append(run_with_store(task, store).known[eval_pass].average_precision)
    assert not np.array_equal(*found)
