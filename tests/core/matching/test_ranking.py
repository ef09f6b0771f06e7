import sys
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fpc_core.matching.ranking import GalleryRanking, combined_distance, rank, rank_by_feature, swap_alphas


def test_combined_distance_is_eq_10_by_hand():
    assert combined_distance(np.array([0.5]), np.array([0.25]), 0.4)[0] == pytest.approx(0.4)
    assert rank(np.array([7, 8, 9]), np.array([0.2, 0.1, 0.2])).indices.tolist() == [8, 7, 9]


def test_features_are_ranked_by_euclidean_distance_of_unit_vectors():
    gallery = np.array([[0.0, 1.0], [1.0, 0.0], [-1.0, 0.0]], np.float32)
    result = rank_by_feature(np.array([3.0, 0.0], np.float32), gallery)
    assert result.indices.tolist() == [1, 0, 2]
    np.testing.assert_allclose(result.distance, [0, 2**0.5, 2], atol=1e-6)
    with pytest.raises(ValueError, match="zero or not finite"):
        rank_by_feature(np.zeros(2), gallery)


def test_the_whole_gallery_is_ranked_with_ties_in_gallery_order():
    rng = np.random.default_rng(0)
    gallery = np.repeat(rng.standard_normal((500, 8)), 3, axis=0).astype(np.float32)[rng.permutation(1500)]
    gallery[7] = gallery[1200]
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    query = gallery[1200] / np.linalg.norm(gallery[1200])
    result = rank_by_feature(query, gallery)
    expected = np.sqrt(np.maximum(2 - 2 * (gallery @ query), 0))
    assert np.array_equal(result.indices, np.argsort(expected, kind="stable"))
    np.testing.assert_allclose(result.distance, np.sort(expected), atol=1e-3)
    assert result.distance.dtype == np.float32


@settings(max_examples=200, deadline=None)
@given(
    distance=arrays(np.float32, st.integers(1, 200), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.5, 2.0])),
    count=st.integers(0, 210),
    left_out=st.integers(0, 199) | st.none(),
)
def test_the_first_ranks_equal_those_of_a_full_stable_sort(distance, count, left_out):
    if left_out is not None:
        left_out %= len(distance)
    order = np.argsort(distance, kind="stable")
    order = order[order != left_out]
    ranking = GalleryRanking(distance, left_out)
    before, whole = ranking.first(count), (ranking.indices, ranking.distance)
    for result in (before, ranking.first(count)):
        assert result.indices.tolist() == order[:count].tolist()
        assert result.distance.tolist() == distance[order[:count]].tolist()
    assert whole[0].tolist() == order.tolist()
    assert whole[1].tolist() == distance[order].tolist()
    assert len(ranking) == len(order)
    assert [row for row, _ in GalleryRanking(distance, left_out).pairs()] == order.tolist()
    assert before.indices.dtype == whole[0].dtype


def test_reading_the_first_ranks_sorts_nothing_else():
    ranking = GalleryRanking(np.random.default_rng(1).random(10_000).astype(np.float32))
    pairs = ranking.pairs()
    assert [next(pairs)[0] for _ in range(10)] == ranking.first(10).indices.tolist()
    assert "_sorted" not in ranking.__dict__
    assert sys.getsizeof(ranking) >= ranking.indices.nbytes + ranking.distance.nbytes
    assert ranking.indices[:10].tolist() == ranking.first(10).indices.tolist()
    assert "_sorted" in ranking.__dict__


values = st.floats(0, 2, width=16)


@settings(max_examples=100, deadline=None)
@given(cos=arrays(np.float32, 7, elements=values), emd=arrays(np.float32, 7, elements=values))
def test_the_order_changes_at_swaps_only(cos, emd):
    swaps = swap_alphas(cos, emd)
    alphas = [swap.alpha for swap in swaps]
    assert alphas == sorted(alphas)
    for swap in swaps:
        below, above = (combined_distance(cos, emd, alpha) for alpha in (0.0, 1.0))
        assert below[swap.first] < below[swap.second]
        assert above[swap.first] > above[swap.second]
        at = combined_distance(cos, emd, swap.alpha)
        assert at[swap.first] == pytest.approx(at[swap.second], abs=1e-12)
    crossing = {frozenset((swap.first, swap.second)) for swap in swaps}
    for one in range(7):
        for other in range(one):
            c = float(cos[one]) - float(cos[other])
            e = float(emd[one]) - float(emd[other])
            assert (frozenset((one, other)) in crossing) == (c * e < 0)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), top=st.integers(1, 5))
def test_top_swaps_are_exactly_those_that_change_the_top_ranks(seed, top):
    rng = np.random.default_rng(seed)
    cos, emd = rng.random(12), rng.random(12)

    def leaders(alpha):
        return np.argsort(combined_distance(cos, emd, alpha), kind="stable")[:top].tolist()

    every = [swap.alpha for swap in swap_alphas(cos, emd)]
    kept = {swap.alpha for swap in swap_alphas(cos, emd, top=top)}
    edges = [0.0, *every, 1.0]
    for before, alpha, after in zip(edges, every, edges[2:], strict=False):
        changed = leaders((before + alpha) / 2) != leaders((alpha + after) / 2)
        assert changed == (alpha in kept)


GRID = arrays(np.int64, 14, elements=st.integers(0, 24))


@settings(max_examples=200, deadline=None)
@given(cos=GRID, emd=GRID, top=st.integers(1, 10))
@example(cos=np.array([5, 6, 7, 9, 6]), emd=np.array([6, 8, 2, 8, 4]), top=1)  # Three lines meet at 1/3.
def test_top_swaps_at_points_of_many_lines_equal_exact_fractions(cos, emd, top):
    """On a coarse grid, three or more lines often meet at an alpha that a float cannot represent exactly."""
    expected = set()
    for i, j in combinations(range(len(cos)), 2):
        c, e = int(cos[i] - cos[j]), int(emd[i] - emd[j])
        if c * e < 0:
            alpha = Fraction(c, c - e)
            distances = [(1 - alpha) * int(one) + alpha * int(other) for one, other in zip(cos, emd, strict=True)]
            if sum(each < distances[i] for each in distances) < top:
                expected.add(frozenset((i, j)))
    swaps = swap_alphas((cos / 32).astype(np.float32), (emd / 32).astype(np.float32), top=top)
    assert {frozenset((swap.first, swap.second)) for swap in swaps} == expected
    assert len(swaps) == len(expected)
