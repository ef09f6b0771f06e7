"""CMC, mAP and the junk rule agree with fractions by hand, torchmetrics and the released code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torchmetrics.functional.retrieval import retrieval_average_precision, retrieval_hit_rate
from torchmetrics.retrieval import RetrievalHitRate, RetrievalMAP

from fpc_core.evaluation.engine.protocol import feature_distance
from fpc_core.evaluation.metrics.retrieval import evaluate, junk_mask, l2_normalize, match_mask
from tests.support.golden_data import load_golden


def scores_of_one(pattern: str, **cameras):
    """Score a query of identity 1 against a gallery whose images, nearest first, are true (t) or wrong (w).

    Args:
        pattern: The letters t and w of the gallery images.
        **cameras: `query_cameras` and `gallery_cameras` of `evaluate`.
    """
    ids = np.array([1 if letter == "t" else 2 for letter in pattern])
    return evaluate(np.arange(len(ids), dtype=float)[None], [1], ids, **cameras)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("t", 1),
        ("tt", 1),
        ("wt", 1 / 2),
        ("twt", (1 + 2 / 3) / 2),
        ("wtt", (1 / 2 + 2 / 3) / 2),
        ("wwwt", 1 / 4),
        ("twwtw", (1 + 2 / 4) / 2),
    ],
)
def test_average_precision_is_the_mean_precision_at_the_hits(pattern, expected):
    assert scores_of_one(pattern).mean_ap == pytest.approx(expected)


def test_cmc_steps_to_one_at_the_first_match():
    scores = scores_of_one("wwtw")
    assert scores.cmc.tolist() == [0, 0, 1, 1]
    assert scores.first_match.tolist() == [2]
    assert scores.rank1 == 0


def test_cmc_is_the_share_of_queries_over_several_queries():
    distance = np.array([[0.0, 1, 2], [0, 1, 2], [0, 1, 2]])
    scores = evaluate(distance, [1, 2, 3], [1, 2, 3])
    assert scores.cmc == pytest.approx([1 / 3, 2 / 3, 1])
    assert scores.mean_ap == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)


def test_max_rank_cuts_the_cmc_and_not_the_average_precision():
    distance = np.arange(10.0)[None]
    scores = evaluate(distance, [1], [2] * 9 + [1], max_rank=4)
    assert scores.cmc.tolist() == [0, 0, 0, 0]
    assert scores.mean_ap == pytest.approx(1 / 10)


def test_same_identity_in_the_same_camera_is_removed_before_ranking():
    distance = np.arange(4.0)[None]
    scores = evaluate(distance, [1], [1, 2, 1, 1], [5], [5, 5, 6, 5])
    assert scores.first_match.tolist() == [1]
    assert scores.mean_ap == pytest.approx(1 / 2)


def test_without_cameras_every_image_of_the_identity_is_a_match():
    distance = np.arange(4.0)[None]
    assert evaluate(distance, [1], [1, 2, 1, 1]).mean_ap == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)


def test_identity_minus_one_is_junk_and_identity_zero_a_wrong_answer():
    distance = np.arange(3.0)[None]
    assert evaluate(distance, [1], [-1, 0, 1], [1], [2, 2, 2]).first_match.tolist() == [1]
    assert evaluate(distance, [1], [-1, -1, 1]).first_match.tolist() == [0]


def test_people_may_be_numbered_from_zero():
    assert evaluate(np.array([[0.0, 1.0]]), [0], [0, 1]).rank1 == 1


def test_a_query_without_a_true_match_is_skipped_and_counted():
    distance = np.array([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0], [0.0, 1.0, 2.0]])
    scores = evaluate(distance, [1, 9, 2], [1, 1, 2], [0, 0, 4], [1, 1, 4])
    assert scores.skipped == 2
    assert np.isnan(scores.average_precision[1:]).all()
    assert scores.first_match.tolist() == [0, -1, -1]
    assert scores.rank1 == 1
    assert scores.mean_ap == 1


def test_equal_distances_rank_in_gallery_order():
    assert evaluate(np.zeros((1, 4)), [1], [2, 1, 2, 1]).first_match.tolist() == [1]
    assert evaluate(np.zeros((1, 4)), [1], [2, 1, 2, 1]).mean_ap == pytest.approx((1 / 2 + 2 / 4) / 2)


def test_infinitely_far_images_can_be_ranked():
    assert evaluate(np.array([[np.inf, 0, np.inf]]), [1], [2, 2, 1]).first_match.tolist() == [2]


def test_every_gallery_image_is_match_junk_or_wrong():
    ids, cameras = np.array([3, 3, 4, -1]), np.array([0, 1, 0, 0])
    assert match_mask(3, ids, 0, cameras).tolist() == [False, True, False, False]
    assert junk_mask(3, ids, 0, cameras).tolist() == [True, False, False, True]
    assert match_mask(3, ids).tolist() == [True, True, False, False]
    assert not match_mask(-1, ids).any()


@st.composite
def retrievals(draw):
    """Draw the arguments of `evaluate` from few distances, identities and cameras, which makes ties and junk common."""
    queries, gallery = draw(st.integers(1, 6)), draw(st.integers(2, 24))
    level = st.integers(0, draw(st.integers(1, 40))).map(float)
    identity, camera = st.integers(-1, 4), st.integers(0, 2)

    def side(size):
        return draw(hnp.arrays(np.int64, size, elements=identity)), draw(hnp.arrays(np.int64, size, elements=camera))

    (people, cameras), (gallery_people, gallery_cameras) = side(queries), side(gallery)
    people = np.maximum(people, 0)
    gallery_people[0], gallery_cameras[0] = people[0], cameras[0] + 1  # At least one query has a match.
    distance = draw(hnp.arrays(np.float64, (queries, gallery), elements=level))
    return distance, people, gallery_people, cameras, gallery_cameras


def oracle_rows(distance, people, gallery_people, cameras, gallery_cameras):
    """Yield the row of each query, strictly decreasing scores in ranked order, and relevance; loops remove junk."""
    for row, (person, camera) in enumerate(zip(people, cameras, strict=True)):
        kept = [
            g
            for g in range(len(gallery_people))
            if gallery_people[g] != -1 and not (gallery_people[g] == person and gallery_cameras[g] == camera)
        ]
        order = sorted(kept, key=lambda g: (distance[row, g], g))
        relevant = torch.tensor([bool(gallery_people[g] == person) for g in order])
        yield row, torch.arange(len(order), 0, -1).float(), relevant


@settings(deadline=None, max_examples=150)
@given(retrievals())
def test_scores_agree_with_torchmetrics_on_rankings_with_junk_and_ties(problem):
    scores = evaluate(*problem)
    for row, score, relevant in oracle_rows(*problem):
        if not relevant.any():
            assert np.isnan(scores.average_precision[row])
            continue
        expected = retrieval_average_precision(score, relevant).item()
        assert scores.average_precision[row] == pytest.approx(expected, abs=1e-6)
        for k in range(1, len(relevant) + 1):
            assert retrieval_hit_rate(score, relevant, top_k=k) == float(scores.first_match[row] < k)


def test_means_over_queries_agree_with_torchmetrics_modules():
    draw = np.random.default_rng(0)
    problem = (
        draw.integers(0, 30, (40, 120)).astype(np.float32),
        draw.integers(0, 12, 40),
        draw.integers(-1, 10, 120),  # People 10 and 11 have no match.
        draw.integers(0, 4, 40),
        draw.integers(0, 4, 120),
    )
    scores = evaluate(*problem, max_rank=20)
    rows = list(oracle_rows(*problem))
    prediction = torch.cat([score for _, score, _ in rows])
    target = torch.cat([relevant for *_, relevant in rows])
    indexes = torch.cat([torch.full((len(score),), row) for row, score, _ in rows])
    mean_ap = RetrievalMAP(empty_target_action="skip")(prediction, target, indexes=indexes)
    assert scores.skipped > 0
    assert scores.mean_ap == pytest.approx(mean_ap.item(), abs=1e-6)
    for k in (1, 5, 20):
        hits = RetrievalHitRate(empty_target_action="skip", top_k=k)(prediction, target, indexes=indexes)
        assert scores.cmc[k - 1] == pytest.approx(hits.item(), abs=1e-6)


@pytest.mark.parametrize("stride", [11, 16])
def test_scores_equal_those_of_the_released_evaluation(stride):
    golden = load_golden(stride).expected
    people = (golden["query_pids"], golden["gallery_pids"])
    cameras = (golden["query_camids"], golden["gallery_camids"])
    scores = evaluate(golden["distance"], *people, *cameras)
    np.testing.assert_array_equal(scores.cmc.astype(np.float32), golden["cmc"])
    assert scores.mean_ap == pytest.approx(float(golden["mAP"]), abs=1e-12)


@pytest.mark.parametrize("stride", [11, 16])
def test_feature_distance_equals_the_released_one(stride):
    golden = load_golden(stride).expected
    distance = feature_distance(golden["query_feature"], l2_normalize(golden["gallery_feature"]))
    assert distance.dtype == np.float32
    np.testing.assert_allclose(distance**2, golden["distance"], atol=2e-6)  # The released code takes no root.


def test_feature_distance_is_never_negative_and_ignores_length():
    features = np.random.default_rng(1).standard_normal((5, 8))
    distance = feature_distance(features, l2_normalize(7 * features))
    assert (distance >= 0).all()
    np.testing.assert_allclose(np.diag(distance), 0, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(l2_normalize(features), axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((2, 3)), [1], [1, 2, 3]), "one row per query and one column per gallery image"),
        ((np.zeros(3), [1], [1, 2, 3]), "one row per query"),
        ((np.zeros((0, 3)), [], [1, 2, 3]), "at least one query and one gallery image"),
        ((np.array([[np.nan, 0.0]]), [1], [1, 2]), "query 0 contain NaN"),
        ((np.zeros((1, 2)), [1], [2, 3]), "no query has a true match"),
        ((np.zeros((1, 2)), [1], [1, 3], [0]), "of both"),
        ((np.zeros((1, 2)), [1], [1, 3], [0], [0, 1, 2]), r"numbers of query and gallery cameras .* got \(1, 3\)"),
        ((np.zeros((1, 2)), [1], [1, 3], None, None, 0), "max_rank"),
    ],
)
def test_input_that_cannot_be_scored_is_refused_with_the_reason(arguments, message):
    with pytest.raises(ValueError, match=message):
        evaluate(*arguments)


def test_a_feature_without_direction_is_refused():
    with pytest.raises(ValueError, match="feature 1 of 2 is zero"):
        l2_normalize(np.array([[1.0, 0], [0, 0]]))
