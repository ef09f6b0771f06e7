"""The two-dimensional projection agrees with its definition."""

import numpy as np
import pytest

from fpc_core.explain.projection import flat_map, map_rows


def features(count=60, channels=12, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(count, channels)) * np.linspace(3, 0.1, channels)
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def test_the_projection_is_pca_with_its_explained_variance():
    rows = features()
    projection = flat_map(rows)
    centred = rows - rows.mean(axis=0)
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(projection.explained, (singular**2 / (singular**2).sum())[:2], rtol=1e-4)
    np.testing.assert_allclose(np.abs(projection.project(rows)), np.abs(centred @ axes[:2].T), atol=1e-4)


def test_features_in_a_plane_keep_their_distances():
    angles = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    plane = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 2)))[0].T
    rows = np.stack((np.cos(angles), np.sin(angles)), axis=1) @ plane
    projection = flat_map(rows)
    assert sum(projection.explained) == pytest.approx(1)
    spots = projection.project(rows)
    np.testing.assert_allclose(np.linalg.norm(spots[3] - spots[11]), np.linalg.norm(rows[3] - rows[11]), atol=1e-9)


def test_a_single_feature_is_projected_as_in_a_batch():
    rows = features()
    projection = flat_map(rows)
    np.testing.assert_allclose(projection.project(rows[7:8]), projection.project(rows)[7:8], atol=1e-6)


def test_equal_features_explain_nothing_and_too_few_are_refused():
    assert flat_map(np.ones((3, 4)) / 2).explained == (0.0, 0.0)
    with pytest.raises(ValueError, match="at least 2 rows and 2 columns"):
        flat_map(features(1))


def test_required_rows_stay_and_a_seed_samples_the_rest():
    assert map_rows(5, np.array([2]), 5).tolist() == [0, 1, 2, 3, 4]
    drawn = map_rows(1000, np.array([7, 999, 7]), 50)
    assert len(drawn) == 50
    assert {7, 999} <= set(drawn.tolist())
    assert (np.diff(drawn) > 0).all()
    assert drawn.tolist() == map_rows(1000, np.array([7, 999, 7]), 50).tolist()
    assert map_rows(1000, np.arange(80), 50).tolist() == list(range(80))
