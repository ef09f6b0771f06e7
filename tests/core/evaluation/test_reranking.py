"""k-reciprocal re-ranking agrees with loops over sets and with numbers of the released code."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpc_core.evaluation.engine import reranking
from fpc_core.evaluation.engine.protocol import feature_distance
from fpc_core.evaluation.engine.reranking import k_reciprocal
from fpc_core.evaluation.metrics.retrieval import evaluate, l2_normalize
from tests.support.golden_data import load_golden


def by_loops(query_features, gallery_features, k1, k2, weight):
    """Compute k-reciprocal re-ranking in float64 by its definitions, with one set per image.

    Args:
        query_features: Features (Q, C).
        gallery_features: Features (N, C).
        k1: The number of nearest images in a set.
        k2: The number of images over which encodings are averaged.
        weight: The weight of the original distance in 0..1.

    Returns:
        Distances (Q, N).
    """
    features = np.concatenate([query_features, gallery_features]).astype(float)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    distance = 2 - 2 * features @ features.T
    distance = np.maximum(distance / distance.max(axis=1, keepdims=True), 0)
    order = np.argsort(distance, axis=1, kind="stable")
    count, queries = len(features), len(query_features)

    def mutual(i, k):
        return {j for j in order[i, : k + 1] if i in order[j, : k + 1]}

    encoding = np.zeros((count, count))
    for i in range(count):
        members = set(mutual(i, k1))
        for j in mutual(i, k1):
            half = mutual(j, round(k1 / 2))
            if 3 * len(half & mutual(i, k1)) > 2 * len(half):
                members |= half
        for j in members:
            encoding[i, j] = np.exp(-distance[i, j])
        encoding[i] /= encoding[i].sum()
    encoding = np.stack([encoding[order[i, :k2]].mean(axis=0) for i in range(count)])
    minima = np.minimum(encoding[:queries, None], encoding[None, queries:]).sum(axis=2)
    maxima = np.maximum(encoding[:queries, None], encoding[None, queries:]).sum(axis=2)
    return (1 - weight) * (1 - minima / maxima) + weight * distance[:queries, queries:]


@pytest.mark.parametrize("stride", [11, 16])
def test_released_rounding_repeats_the_released_numbers(stride):
    golden = load_golden(stride).expected
    distance = k_reciprocal(golden["query_feature"], golden["gallery_feature"], released_rounding=True)
    np.testing.assert_allclose(distance, golden["rerank_distance"], atol=1e-5)
    scores = evaluate(
        distance, golden["query_pids"], golden["gallery_pids"], golden["query_camids"], golden["gallery_camids"]
    )
    np.testing.assert_array_equal(scores.cmc.astype(np.float32), golden["rerank_cmc"])
    assert scores.mean_ap == pytest.approx(float(golden["rerank_mAP"]), abs=1e-12)


@pytest.mark.parametrize("stride", [11, 16])
def test_exact_sums_lie_within_the_released_rounding_error(stride):
    golden = load_golden(stride).expected
    distance = k_reciprocal(golden["query_feature"], golden["gallery_feature"])
    assert 1e-5 < np.abs(distance - golden["rerank_distance"]).max() < 4e-3


@settings(deadline=None, max_examples=25)
@given(
    queries=st.integers(1, 6),
    gallery=st.integers(1, 30),
    k1=st.integers(1, 12),
    k2=st.integers(1, 8),
    weight=st.floats(0, 1),
    seed=st.integers(0, 10_000),
)
def test_sparse_algebra_equals_loops_over_sets(queries, gallery, k1, k2, weight, seed):
    features = np.random.default_rng(seed).standard_normal((queries + gallery, 4)).astype(np.float32)
    sides = features[:queries], features[queries:]
    expected = by_loops(*sides, k1, k2, weight)
    np.testing.assert_allclose(k_reciprocal(*sides, k1, k2, weight), expected, atol=1e-5)


def test_blocks_of_rows_give_the_same_result(monkeypatch):
    features = np.random.default_rng(0).standard_normal((90, 6)).astype(np.float32)
    whole = k_reciprocal(features[:20], features[20:], 10, 4)
    monkeypatch.setattr(reranking, "_BLOCK", 7)
    np.testing.assert_allclose(k_reciprocal(features[:20], features[20:], 10, 4), whole, atol=1e-6)


def test_weight_one_keeps_the_original_order():
    features = np.random.default_rng(1).standard_normal((40, 8)).astype(np.float32)
    distance = k_reciprocal(features[:5], features[5:], 10, 3, weight=1.0)
    original = feature_distance(features[:5], l2_normalize(features[5:]))
    np.testing.assert_array_equal(np.argsort(distance, axis=1), np.argsort(original, axis=1))


def test_clusters_rank_better_after_re_ranking():
    draw = np.random.default_rng(2)
    people = np.repeat(np.arange(12), 10)
    features = draw.standard_normal((12, 32))[people] + 1.6 * draw.standard_normal((120, 32))
    query = np.arange(120) % 10 == 0
    sides, ids = (features[query], features[~query]), (people[query], people[~query])
    before = evaluate(feature_distance(sides[0], l2_normalize(sides[1])), *ids)
    after = evaluate(k_reciprocal(*sides, 12, 4), *ids)
    assert after.mean_ap > before.mean_ap + 0.05


def test_length_of_features_does_not_matter():
    features = np.random.default_rng(3).standard_normal((30, 8))
    lengths = np.linspace(0.1, 9, 30)[:, None]
    long = features * lengths
    np.testing.assert_allclose(
        k_reciprocal(long[:4], long[4:], 8, 3), k_reciprocal(features[:4], features[4:], 8, 3), atol=1e-5
    )


def test_identical_images_give_finite_distances():
    assert np.isfinite(k_reciprocal(np.ones((2, 4)), np.ones((6, 4)))).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((2, 4)), np.ones((3, 5))), "same number of channels"),
        ((np.zeros((1, 4)), np.ones((3, 4))), "feature 0 of 1 is zero"),
        ((np.ones((1, 4)), np.ones((3, 4)), 0), "k1 and k2 must be at least 1"),
        ((np.ones((1, 4)), np.ones((3, 4)), 5, 0), "k1 and k2 must be at least 1"),
        ((np.ones((1, 4)), np.ones((3, 4)), 5, 2, 1.5), "weight in"),
    ],
)
def test_input_that_cannot_be_re_ranked_is_refused_with_the_reason(arguments, message):
    with pytest.raises(ValueError, match=message):
        k_reciprocal(*arguments)
