"""The bootstrap over queries: closed forms, scipy as oracle, and properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import binom
from scipy.stats import bootstrap as scipy_bootstrap

from fpc_core.evaluation.metrics.bootstrap import Bootstrap, estimates

VALUES = hnp.arrays(np.float64, st.tuples(st.integers(1, 40), st.integers(1, 3)), elements=st.floats(0, 1, width=32))


def one(values, **how):
    (estimate,) = estimates(np.array(values, float)[:, None], Bootstrap(**how))
    return estimate


@given(VALUES)
def test_the_interval_contains_the_mean(values):
    for column, estimate in zip(values.T, estimates(values, Bootstrap(500)), strict=True):
        assert estimate.value == pytest.approx(column.mean())
        assert estimate.low - 1e-12 <= estimate.value <= estimate.high + 1e-12
        assert column.min() - 1e-12 <= estimate.low
        assert estimate.high <= column.max() + 1e-12


@given(st.integers(1, 300), st.floats(0, 1))
def test_equal_queries_have_an_interval_of_zero_width(queries, value):
    estimate = one([value] * queries, resamples=50)
    assert (estimate.low, estimate.high) == pytest.approx((value, value))


def test_two_queries_match_the_exact_distribution():
    """Means of two draws from {0, 1}: 0, 1/2 and 1 with probability 1/4, 1/2 and 1/4."""
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
    """A score that is a linear function of another has the same function of its interval."""
    both = np.concatenate([values, factor * values + shift], axis=1)
    intervals = estimates(both, Bootstrap(200))
    for first, second in zip(intervals[: values.shape[1]], intervals[values.shape[1] :], strict=True):
        assert (second.low, second.high) == pytest.approx((factor * first.low + shift, factor * first.high + shift))


def test_equal_seeds_give_equal_intervals():
    values = np.random.default_rng(7).random(30)
    assert one(values, seed=3) == one(values, seed=3)
    assert one(values, seed=3) != one(values, seed=4)


@pytest.mark.parametrize("values", [np.empty((0, 2)), np.array([[np.nan]]), np.zeros(3)])
def test_values_without_a_mean_are_refused(values):
    with pytest.raises(ValueError, match="values must be finite"):
        estimates(values, Bootstrap())


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
