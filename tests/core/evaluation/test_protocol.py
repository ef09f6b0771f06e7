"""Records become encoder states in their order, and features become scores."""

import numpy as np
import pytest
import torch

from fpc_core.config import QuerySettings
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.evaluation.engine.protocol import encoder_state, feature_distance, score_distance
from fpc_core.workspace import open_workspace
from tests.support import reference_scores

SETTINGS = QuerySettings(neighbors=3, shortlist=10)


@pytest.fixture(scope="module")
def workspace(small_places):
    return open_workspace(small_places, "cpu")


def test_features_of_a_batch_are_those_of_single_searches(workspace):
    config = workspace.retriever.model.config
    all_features = reference_scores.features(workspace.retriever, workspace.dataset, SETTINGS)
    for index in (0, 5):
        record = workspace.dataset.query[index]
        image = to_tensor([resize_image(workspace.dataset.read(record), config.image_size)], config)
        trace = workspace.retriever.search(image, SETTINGS, torch.tensor([record.camera]))
        np.testing.assert_allclose(all_features[index], trace.consolidation.feature, atol=1e-5)


def test_a_state_has_the_requested_images_in_order(workspace):
    records = workspace.dataset.gallery[3:6]
    states = encoder_state(workspace.retriever, workspace.dataset, records, 3)
    alone = encoder_state(workspace.retriever, workspace.dataset, records[1:2], 3)
    assert len(states.tokens) == 3
    torch.testing.assert_close(states.tokens[1:2], alone.tokens, atol=1e-5, rtol=1e-4)


def test_a_perfect_distance_has_perfect_scores_and_its_inverse_the_worst(workspace):
    dataset = workspace.dataset
    same = np.array([[q.identity == g.identity for g in dataset.gallery] for q in dataset.query])
    assert score_distance(1.0 - same, dataset.query, dataset).mean_ap == 1
    worst = score_distance(1.0 * same, dataset.query, dataset)
    assert worst.rank1 == 0
    # Each query has three matches, at ranks 29 to 31 of 31; a fourth image of its person is junk.
    assert worst.mean_ap == pytest.approx((1 / 29 + 2 / 30 + 3 / 31) / 3)


def test_distance_is_euclidean_between_directions():
    unit = np.array([[1.0, 0.0], [0.0, 1.0]])
    distance = feature_distance(np.array([[3.0, 0.0], [2.0, 2.0]]), unit)
    np.testing.assert_allclose(distance[0], [0.0, np.sqrt(2.0)])
    np.testing.assert_allclose(distance[1], [np.sqrt(2 - np.sqrt(2))] * 2)
