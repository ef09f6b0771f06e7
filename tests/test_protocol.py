"""The evaluation asks the retriever exactly what a single search asks it."""

import numpy as np
import pytest
import torch

from fpc_core.config import QuerySettings
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.evaluation.protocol import ablation, feature_distance, query_features, score_features
from fpc_core.workspace import open_workspace

SETTINGS = QuerySettings(neighbors=3, shortlist=10)


@pytest.fixture(scope="module")
def space(small_places):
    return open_workspace(small_places, "cpu")


@pytest.fixture(scope="module")
def features(space):
    return query_features(space.retriever, space.dataset, SETTINGS, (0.0, 0.4), batch_size=3)


def test_features_are_those_of_single_searches(space, features):
    config = space.retriever.model.config
    for place in (0, 5):
        record = space.dataset.query[place]
        image = to_tensor([resize_image(space.dataset.read(record), config.image_size)], config)
        trace = space.retriever.search(image, SETTINGS, torch.tensor([record.camera]))
        np.testing.assert_allclose(features.consolidated[0.4][place], trace.consolidation.feature, atol=1e-5)
        np.testing.assert_allclose(
            features.encoder[place], space.retriever.global_feature(trace.encoding), atol=1e-5
        )  # fmt: skip


def test_progress_reaches_every_query_once(space):
    told = []
    query_features(space.retriever, space.dataset, SETTINGS, batch_size=5, progress=lambda *at: told.append(at))
    assert told[-1] == (8, 8)
    assert [done for done, _ in told] == sorted({done for done, _ in told})


def test_the_ablation_has_the_rows_of_table_4_with_the_settings_they_ran_with(space, features):
    rows = {row.label: row for row in ablation(space.retriever, space.dataset, SETTINGS)}
    assert list(rows) == ["none", "S", "S+C", "S+M+C"]
    assert rows["none"].settings.prune.keep_rate == 1.0
    assert rows["S+C"].settings.alpha == 0.0
    final = score_features(features.consolidated[0.4], space.retriever, space.dataset)
    assert rows["S+M+C"].scores.mean_ap == final.mean_ap


def test_distance_is_euclidean_between_directions():
    unit = np.array([[1.0, 0.0], [0.0, 1.0]])
    distance = feature_distance(np.array([[3.0, 0.0], [2.0, 2.0]]), unit)
    np.testing.assert_allclose(distance[0], [0.0, np.sqrt(2.0)])
    np.testing.assert_allclose(distance[1], [np.sqrt(2 - np.sqrt(2))] * 2)
