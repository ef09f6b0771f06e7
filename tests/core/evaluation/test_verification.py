"""The error rates of a threshold agree with fractions by hand and with scikit-learn's ROC curve."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from fpc_core.evaluation.metrics.verification import error_curve, histograms

SAME = np.array([True, True, True, False, False, False, False])
DISTANCE = np.array([0.1, 0.2, 0.5, 0.2, 0.4, 0.6, 0.7])


@pytest.mark.parametrize(
    ("threshold", "false_accept", "false_reject"),
    [(0.0, 0, 1), (0.1, 0, 2 / 3), (0.2, 1 / 4, 1 / 3), (0.45, 2 / 4, 1 / 3), (0.5, 2 / 4, 0), (0.7, 1, 0), (9, 1, 0)],
)
def test_rates_are_the_shares_counted_by_hand(threshold, false_accept, false_reject):
    rates = error_curve(SAME, DISTANCE).at(threshold)
    assert (rates.threshold, rates.false_accept) == (threshold, false_accept)
    assert rates.false_reject == pytest.approx(false_reject)


def test_the_rates_are_equal_where_they_meet():
    curve = error_curve(np.array([True, True, False, False]), np.array([0.1, 0.3, 0.2, 0.4]))
    assert curve.equal.threshold == 0.2
    assert (curve.equal.false_accept, curve.equal.false_reject, curve.equal_error) == (0.5, 0.5, 0.5)


def test_separable_pairs_have_an_equal_error_rate_of_zero():
    curve = error_curve(np.array([True, False]), np.array([0.1, 0.9]))
    assert (curve.equal.threshold, curve.equal_error) == (0.1, 0)


PAIRS = st.lists(st.tuples(st.booleans(), st.floats(0, 2, width=16)), min_size=2, max_size=60).filter(
    lambda pairs: len({same for same, _ in pairs}) == 2
)


@given(PAIRS, st.floats(-1, 3), st.floats(-1, 3))
def test_a_larger_threshold_accepts_more_and_rejects_less(pairs, one, other):
    curve = error_curve(*map(np.array, zip(*pairs, strict=True)))
    low, high = curve.at(min(one, other)), curve.at(max(one, other))
    assert low.false_accept <= high.false_accept
    assert low.false_reject >= high.false_reject


@given(PAIRS, st.floats(-1, 3))
def test_rates_equal_counting(pairs, threshold):
    same, distance = map(np.array, zip(*pairs, strict=True))
    rates = error_curve(same, distance).at(threshold)
    assert rates.false_accept == pytest.approx((distance[~same] <= threshold).mean())
    assert rates.false_reject == pytest.approx((distance[same] > threshold).mean())


@given(PAIRS)
def test_the_curve_is_the_roc_of_scikit_learn(pairs):
    same, distance = map(np.array, zip(*pairs, strict=True))
    curve = error_curve(same, distance)
    false_accept, recall, scores = roc_curve(same, -distance, drop_intermediate=False)
    np.testing.assert_allclose(curve.false_accept, false_accept)
    np.testing.assert_allclose(1 - curve.false_reject, recall)
    np.testing.assert_allclose(curve.thresholds[1:], -scores[1:])


@pytest.mark.parametrize("same", [[True, True], [False, False]])
def test_pairs_of_one_kind_have_no_error_rates(same):
    with pytest.raises(ValueError, match="one pair of the same person and one pair of different persons"):
        error_curve(np.array(same), np.array([0.1, 0.2]))


def test_a_pair_without_a_distance_is_refused():
    with pytest.raises(ValueError, match="one finite distance"):
        error_curve(np.array([True, False]), np.array([0.1, np.nan]))


def test_bins_are_shares_of_their_kind():
    edges, same, other = histograms(SAME, DISTANCE, bins=2)
    assert edges == pytest.approx([0.1, 0.4, 0.7])
    assert same == pytest.approx([2 / 3, 1 / 3])
    assert other == pytest.approx([1 / 4, 3 / 4])


def test_a_kind_without_pairs_has_empty_bins():
    _, same, other = histograms(np.array([False, False]), np.array([0.1, 0.2]), bins=2)
    assert same.tolist() == [0, 0]
    assert other.tolist() == [0.5, 0.5]
    with pytest.raises(ValueError, match="no pairs"):
        histograms(np.empty(0, bool), np.empty(0))
