"""The same images in every layout give the same identities, cameras, rankings and scores."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fpc_core.config import PruneSettings, QuerySettings
from fpc_core.data.datasets import open_dataset
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.data.layouts.registry import LAYOUTS
from fpc_core.data.layouts.spec import LayoutSpec
from fpc_core.data.protocols import Cameras, Protocol
from fpc_core.evaluation.engine.protocol import BATCH, encoder_state, feature_distance, score_distance
from fpc_core.gallery.builder import build_memory
from fpc_core.model.checkpoint import load_checkpoint
from fpc_core.retrieval import Retriever
from fpc_core.workspace import DEMO_ROOT, Places, open_workspace
from tests.support.arranged import ARRANGEMENTS, arrange, one_each

SPLIT = [spec for spec in LAYOUTS if spec.key in ARRANGEMENTS]
SETTINGS = QuerySettings(neighbors=3)


def test_every_layout_with_a_split_is_arranged():
    assert {spec.key for spec in LAYOUTS} == set(ARRANGEMENTS) | {"unsplit"}
    assert len({spec.key for spec in LAYOUTS}) == len(LAYOUTS)


@pytest.fixture(scope="module")
def model(small_places):
    return load_checkpoint(small_places.weights)[0].eval()


def found(model, dataset, folder, name_of):
    """Search for every query of a dataset.

    Args:
        model: The model that encodes queries and gallery.
        dataset: The dataset to search.
        folder: The folder to build the gallery memory in.
        name_of: A function that returns the original name of a record.

    Returns:
        The original names of the gallery images in final order, by the original name of the query, and
        (Rank-1, mAP).
    """
    retriever = Retriever(model, build_memory(model, dataset.gallery, dataset.root, folder))
    rankings, features = {}, []
    for record in dataset.query:
        image = to_tensor([resize_image(dataset.read(record), model.config.image_size)], model.config)
        cameras = torch.tensor([record.camera]) if dataset.uses_cameras else None
        trace = retriever.search(image, replace(SETTINGS, shortlist=dataset.shortlist), cameras)
        names = [name_of(dataset.gallery[row]) for row in trace.final.indices.tolist()]
        rankings[name_of(record)] = names
        features.append(trace.consolidation.feature)
    distance = feature_distance(np.stack(features), retriever.memory.unit_features)
    scores = score_distance(distance, dataset.query, dataset)
    return rankings, (scores.rank1, scores.mean_ap)


@pytest.mark.parametrize("spec", SPLIT, ids=lambda spec: spec.key)
def test_rankings_and_scores_do_not_depend_on_the_layout(small_places, model, tmp_path, spec: LayoutSpec):
    original = open_dataset(small_places.data)
    if ARRANGEMENTS[spec.key].one_each:
        original = replace(original, query=one_each(original.query), gallery=one_each(original.gallery[1:]))
    folder, source = arrange(original, spec.key, tmp_path / "arranged")
    arranged = open_dataset(folder)
    assert (arranged.layout, arranged.skipped) == (spec.key, ())
    other = Cameras.FROM_1 if arranged.cameras is Cameras.FROM_1 else arranged.cameras
    again = open_dataset(small_places.data, protocol=arranged.protocol, cameras=other)
    kept = {record.path for record in (*original.query, *original.gallery)}
    again = replace(
        again,
        query=tuple(record for record in again.query if record.path in kept),
        gallery=tuple(record for record in again.gallery if record.path in kept),
    )
    expected = found(model, again, tmp_path / "m1", lambda record: record.path)
    actual = found(model, arranged, tmp_path / "m2", lambda record: source[record.path.as_posix()].path)
    assert actual == expected


@pytest.fixture(scope="module")
def demo():
    """Return the demo and the distances (queries, gallery images) between its global features."""
    workspace = open_workspace(Places())
    dataset, retriever, features = workspace.dataset, workspace.retriever, []
    for start in range(0, len(dataset.query), BATCH):
        state = encoder_state(retriever, dataset, dataset.query[start : start + BATCH], 3)
        encoding = retriever.encode(state, PruneSettings(0.8))
        features += [retriever.global_feature(encoding[row : row + 1]) for row in range(len(state.tokens))]
    distance = feature_distance(np.stack(features), retriever.memory.unit_features).astype(np.float64)
    # Equal distances are ranked in gallery order, which differs between layouts. This makes all distances different.
    return dataset, distance + 1e-9 * np.arange(distance.shape[1])


@pytest.mark.parametrize("spec", SPLIT, ids=lambda spec: spec.key)
def test_the_demo_scores_the_same_in_every_layout(demo, tmp_path, spec: LayoutSpec):
    dataset, distance = demo
    kept = dataset
    if ARRANGEMENTS[spec.key].one_each:
        kept = replace(dataset, query=one_each(dataset.query), gallery=one_each(dataset.gallery))
    folder, source = arrange(kept, spec.key, tmp_path)
    arranged = open_dataset(folder)
    kept = replace(kept, protocol=arranged.protocol)
    rows = {record.path: row for row, record in enumerate(dataset.query)}
    columns = {record.path: column for column, record in enumerate(dataset.gallery)}

    def part(queries, gallery):
        return distance[np.ix_([rows[path] for path in queries], [columns[path] for path in gallery])]

    def origin(records):
        return [source[record.path.as_posix()].path for record in records]

    expected = score_distance(
        part((record.path for record in kept.query), (record.path for record in kept.gallery)), kept.query, kept
    )
    actual = score_distance(part(origin(arranged.query), origin(arranged.gallery)), arranged.query, arranged)
    assert (actual.rank1, actual.mean_ap) == pytest.approx((expected.rank1, expected.mean_ap), abs=1e-12)
    assert arranged.protocol is (Protocol.CAMERAS if spec.cameras is Cameras.NAMES else Protocol.NO_CAMERAS)


def test_the_demo_counted_from_camera_0_scores_as_the_demo(demo, tmp_path):
    dataset, _ = demo
    for record in (*dataset.query, *dataset.gallery):
        name = record.path.name.replace(f"_c{record.camera + 1}_", f"_c{record.camera}_")
        (tmp_path / record.path.parent).mkdir(exist_ok=True)
        (tmp_path / record.path.parent / name).symlink_to(DEMO_ROOT / record.path)
    renamed = open_dataset(tmp_path)
    for new, old in ((renamed.query, dataset.query), (renamed.gallery, dataset.gallery)):
        assert [(each.identity, each.camera) for each in new] == [(each.identity, each.camera) for each in old]
        assert [(tmp_path / each.path).resolve() for each in new] == [(DEMO_ROOT / each.path).resolve() for each in old]
    assert any("count cameras from 0" in note.text for note in renamed.notes)
