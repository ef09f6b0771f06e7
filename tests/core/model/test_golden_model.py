"""Encoder and decoder compute the values of the released code that are stored in tests/golden (see its README)."""

import numpy as np
import pytest
import torch

from fpc_core.config import PruneSettings, Variant
from fpc_core.model.checkpoint import load_checkpoint
from fpc_core.model.fpc import FPC
from fpc_core.results import Encoding
from tests.support.golden_data import Golden, load_golden

TIE = 1e-7  # Attention values that differ by less may swap, because the order of float32 sums differs.


@pytest.fixture(scope="module", params=[11, 16], ids=["stride 11", "stride 16"])
def golden(request) -> Golden:
    return load_golden(request.param)


@pytest.fixture(scope="module")
def model(golden) -> FPC:
    return load_checkpoint(golden.checkpoint_path, config=golden.config)[0]


@pytest.fixture(scope="module")
def gallery(golden, model) -> Encoding:
    return encode(model, golden.gallery_images, golden.expected["gallery_camids"], 1.0)


def encode(model: FPC, images: torch.Tensor, cameras: np.ndarray, keep_rate: float) -> Encoding:
    with torch.inference_mode():
        return model.encode(images, torch.from_numpy(cameras), PruneSettings(keep_rate))


@pytest.mark.parametrize("keep_rate", [0.8, 0.5])
def test_kept_patches_are_those_of_the_released_code(golden, model, keep_rate):
    expected = golden.expected
    encoding = encode(model, golden.query_images, expected["query_camids"], keep_rate)
    entered = np.tile(np.arange(golden.config.patches), (len(expected["query_camids"]), 1))
    for i, stage in enumerate(encoding.stages):
        theirs = np.take_along_axis(entered, expected[f"query_kept_{keep_rate}_stage{i}"], axis=1)
        ours = stage.kept.numpy()
        np.testing.assert_array_equal(np.sort(ours, axis=1), np.sort(theirs, axis=1))
        for image, index in np.argwhere(ours != theirs):  # Only ties may differ in order.
            scores = dict(zip(stage.entered[image].tolist(), stage.attention[image].tolist(), strict=True))
            assert abs(scores[ours[image, index]] - scores[theirs[image, index]]) < TIE
        entered = theirs


@pytest.mark.parametrize("keep_rate", [1.0, 0.8, 0.5])
def test_query_tokens_are_those_of_the_released_code(golden, model, keep_rate):
    expected = golden.expected
    encoding = encode(model, golden.query_images, expected["query_camids"], keep_rate)
    theirs = expected[f"query_tokens_{keep_rate}"]
    np.testing.assert_allclose(encoding.cls, theirs[:, 0], atol=1e-4, rtol=0)
    theirs_at = np.tile(np.arange(golden.config.patches), (len(theirs), 1))
    if keep_rate < 1:
        for i in range(len(encoding.stages)):
            theirs_at = np.take_along_axis(theirs_at, expected[f"query_kept_{keep_rate}_stage{i}"], axis=1)
    ours_order, theirs_order = encoding.positions.numpy().argsort(axis=1), theirs_at.argsort(axis=1)
    np.testing.assert_allclose(
        np.take_along_axis(encoding.patches.numpy(), ours_order[..., None], axis=1),
        np.take_along_axis(theirs[:, 1:], theirs_order[..., None], axis=1),
        atol=1e-4,
        rtol=0,
    )


def test_gallery_tokens_and_features_are_those_of_the_released_code(golden, model, gallery):
    expected = golden.expected
    np.testing.assert_allclose(gallery.cls, expected["memory_cls"], atol=1e-4, rtol=0)
    np.testing.assert_allclose(gallery.patches[:4], expected["memory_patches_first4"], atol=1e-4, rtol=0)
    with torch.inference_mode():
        features = model.global_feature(gallery.tokens)
    np.testing.assert_allclose(features, expected["gallery_feature"], atol=1e-4, rtol=0)


def test_consolidated_features_are_those_of_the_released_code(golden, model, gallery):
    expected = golden.expected
    queries = encode(model, golden.query_images, expected["query_camids"], 0.8)
    with torch.inference_mode():
        for query, rows in enumerate(expected["neighbors"]):
            result = model.consolidate(
                queries.cls[query],
                queries.patches[query],
                queries.positions[query],
                gallery.cls[rows],
                gallery.patches[rows],
                rows,
                Variant.RELEASED,
            )
            np.testing.assert_allclose(result.feature, expected["query_feature"][query], atol=1e-4, rtol=0)
