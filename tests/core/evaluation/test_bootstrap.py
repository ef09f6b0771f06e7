"""The bootstrap over people and over queries agrees with closed forms and scipy, and covers the true score."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import binom
from scipy.stats import bootstrap as scipy_bootstrap

from fpc_core.evaluation.metrics.bootstrap import Bootstrap, Unit, estimates

VALUES = hnp.arrays(np.float64, st.tuples(st.integers(1, 40), st.integers(1, 3)), elements=st.floats(0, 1, width=32))


def one(values, people=None, **how):
    """Estimate the mean of one score.

    Args:
        values: The score of every query.
        people: The identity of every query. Without it, every query is of another person.
        **how: Fields of Bootstrap.
    """
    people = np.arange(len(values)) if people is None else np.asarray(people)
    (estimate,) = estimates(np.array(values, float)[:, None], Bootstrap(**how), people)
    return estimate


def singletons(values):
    return np.arange(len(values))


@given(VALUES)
def test_the_interval_contains_the_mean(values):
    for column, estimate in zip(values.T, estimates(values, Bootstrap(500), singletons(values)), strict=True):
        assert estimate.value == pytest.approx(column.mean())
        assert estimate.low - 1e-12 <= estimate.value <= estimate.high + 1e-12
        assert column.min() - 1e-12 <= estimate.low
        assert estimate.high <= column.max() + 1e-12


@given(st.integers(1, 300), st.floats(0, 1))
def test_equal_queries_have_an_interval_of_zero_width(queries, value):
    estimate = one([value] * queries, resamples=50)
    assert (estimate.low, estimate.high) == pytest.approx((value, value))


def test_two_queries_match_the_exact_distribution():
    """The mean of two draws from {0, 1} is 0, 1/2 or 1 with probability 1/4, 1/2 and 1/4."""
    assert (one([0, 1]).low, one([0, 1]).high) == (0, 1)
    assert (one([0, 1], level=0.4).low, one([0, 1], level=0.4).high) == (1 / 2, 1 / 2)


@pytest.mark.parametrize(("right", "queries"), [(50, 200), (3, 100), (767, 1000)])
def test_shares_have_the_quantiles_of_the_binomial(right, queries):
    estimate = one([1] * right + [0] * (queries - right), resamples=20_000)
    low, high = binom.ppf((0.025, 0.975), queries, right / queries) / queries
    assert estimate.low == pytest.approx(low, abs=1.01 / queries)
    assert estimate.high == pytest.approx(high, abs=1.01 / queries)


def test_scipys_percentile_bootstrap_agrees():
    values = np.random.default_rng(4).beta(2, 1, 150)
    estimate = one(values, resamples=20_000)
    theirs = scipy_bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    assert (estimate.low, estimate.high) == pytest.approx((theirs.low, theirs.high), abs=2e-3)


def test_the_width_falls_with_the_root_of_the_query_count():
    values = np.random.default_rng(6).random(100)
    few, many = one(values), one(np.tile(values, 16))
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(4, rel=0.1)


@given(VALUES, st.floats(0.5, 2), st.floats(-1, 1))
def test_all_scores_use_the_same_resamples(values, factor, shift):
    """The interval of a linear function of a score is that function of the interval of the score."""
    both = np.concatenate([values, factor * values + shift], axis=1)
    intervals = estimates(both, Bootstrap(200), np.arange(len(both)) // 3)
    for first, second in zip(intervals[: values.shape[1]], intervals[values.shape[1] :], strict=True):
        assert (second.low, second.high) == pytest.approx((factor * first.low + shift, factor * first.high + shift))


def test_people_with_one_query_each_are_resampled_as_queries():
    values, names = np.random.default_rng(8).random(30), np.random.default_rng(9).permutation(30) - 5
    assert one(values, names) == one(values, unit=Unit.QUERIES)


def test_repeated_queries_of_a_person_add_no_certainty():
    values = np.random.default_rng(10).random(25)
    single, repeated = one(values), one(np.repeat(values, 4), np.repeat(np.arange(25), 4))
    assert (repeated.low, repeated.high) == pytest.approx((single.low, single.high))
    as_independent = one(np.repeat(values, 4), np.repeat(np.arange(25), 4), unit=Unit.QUERIES)
    assert (repeated.high - repeated.low) / (as_independent.high - as_independent.low) == pytest.approx(2, rel=0.1)


def test_a_sample_of_people_is_scored_by_the_mean_over_its_queries():
    """One person has three queries of score 1, the other has one of score 0.

    The mean of a sample of two people is therefore 0, 3/4 or 1, with probability 1/4, 1/2 and 1/4.
    """
    estimate = one([1, 1, 0, 1], [7, 7, 3, 7])
    assert (estimate.value, estimate.low, estimate.high) == (3 / 4, 0, 1)
    middle = one([1, 1, 0, 1], [7, 7, 3, 7], level=0.4)
    assert (middle.low, middle.high) == (3 / 4, 3 / 4)


def test_the_order_of_queries_within_people_changes_nothing():
    rng = np.random.default_rng(11)
    values, people = rng.random(40), np.repeat(np.arange(10), 4)
    shuffled = np.concatenate([start + rng.permutation(4) for start in range(0, 40, 4)])
    one_way, other = one(values, people), one(values[shuffled], people)
    assert (one_way.low, one_way.high) == pytest.approx((other.low, other.high))


def test_intervals_over_people_cover_the_score_on_new_people():
    """Queries of a person are correlated, because each person has their own probability of a right answer."""
    rng, hits = np.random.default_rng(12), dict.fromkeys(Unit, 0)
    for _ in range(400):
        ability = rng.beta(0.75, 0.75, 60)  # Two queries of a person correlate by 1 / (0.75 + 0.75 + 1) = 0.4.
        right = rng.random((60, 5)) < ability[:, None]
        for unit in Unit:
            estimate = one(right.ravel(), np.repeat(np.arange(60), 5), resamples=400, unit=unit)
            hits[unit] += estimate.low <= 0.5 <= estimate.high
    assert hits[Unit.PEOPLE] / 400 > 0.92
    assert hits[Unit.QUERIES] / 400 < 0.86


def test_every_query_needs_an_identity():
    with pytest.raises(ValueError, match=r"one identity per query, \(3,\), got shape \(2,\)"):
        estimates(np.zeros((3, 1)), Bootstrap(), np.arange(2))


def test_equal_seeds_give_equal_intervals():
    values = np.random.default_rng(7).random(30)
    assert one(values, seed=3) == one(values, seed=3)
    assert one(values, seed=3) != one(values, seed=4)


@pytest.mark.parametrize("values", [np.empty((0, 2)), np.array([[np.nan]]), np.zeros(3)])
def test_values_without_a_mean_are_refused(values):
    with pytest.raises(ValueError, match="values must be finite"):
        estimates(values, Bootstrap(), singletons(values))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"resamples": 0}, "resamples must be in"),
        ({"level": 1.0}, "level must be in"),
        ({"seed": -1}, "seed must be in 0"),
    ],
)
def test_invalid_bootstrap_settings_are_refused(how, message):
    with pytest.raises(ValueError, match=message):
        Bootstrap(**how)
