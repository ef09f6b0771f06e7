"""Search, heat maps and the comparison of devices accept models with extra tokens beside `[cls]` and the patches."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fpc_core.config import MapMethod, MapSettings, MapTarget, ModelConfig, PruneSettings, QuerySettings, VitOptions
from fpc_core.data.datasets import ImageRecord
from fpc_core.evaluation.device_parity import parity
from fpc_core.explain.heatmaps import encoder_map
from fpc_core.explain.masks import to_grid
from fpc_core.gallery.encoder import GalleryEncoder
from fpc_core.gallery.memory import GalleryMemory
from fpc_core.model.decoder import cls_row
from fpc_core.model.fpc import FPC
from fpc_core.retrieval import Retriever

CONFIG = ModelConfig(stride=32, width=32, heads=4, cameras=0, identities=5, vit=VitOptions(extra_tokens=3))
SETTINGS = QuerySettings(PruneSettings(0.6), neighbors=2)


@pytest.fixture(scope="module")
def images():
    return torch.randn(7, 3, 256, 128, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def retriever(images):
    torch.manual_seed(0)
    model = FPC(CONFIG).eval()
    for parameter in model.parameters():  # Larger weights make attention less uniform.
        parameter.data.mul_(3)
    gallery = GalleryEncoder(model)(images[1:], None)
    records = tuple(ImageRecord(Path(f"{i}.jpg"), i, 0, "gallery") for i in range(6))
    return Retriever(model, GalleryMemory(gallery.cls, gallery.patches, gallery.features, records, CONFIG.grid))


def test_a_search_matches_and_consolidates_only_patches(retriever, images):
    trace = retriever.search(images[:1], SETTINGS)
    kept = [stage.kept.shape[1] for stage in trace.encoding.stages]
    assert trace.encoding.tokens.shape == (1, 1 + 3 + kept[-1], 32)
    plan = retriever.plan(trace.encoding, trace.match, 0, SETTINGS)
    assert plan.plan.shape == (kept[-1], CONFIG.patches)
    assert trace.consolidation.feature.shape == (32,)


def test_a_gallery_image_is_its_own_nearest_hit_at_keep_rate_1(retriever, images):
    trace = retriever.search(images[3:4], QuerySettings(PruneSettings(1.0), neighbors=2))
    assert trace.by_distance.indices[0] == 2
    assert trace.match.shortlist.d_cos[0] == pytest.approx(0, abs=1e-5)


def test_an_encoding_keeps_its_extra_tokens_when_sliced_and_joined(retriever, images):
    encoding = retriever.encode(retriever.prepare(images[:3]), PruneSettings(0.6))
    again = type(encoding).join([encoding[:1], encoding[1:]]).to(torch.device("cpu"))
    assert again.extra == 3
    assert torch.equal(again.patches, encoding.patches)
    assert torch.equal(again.positions, encoding.positions)
    state = retriever.prepare(images[:3])
    assert type(state).join([state[:1], state[1:]]).to(torch.device("cpu")).extra == 3


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("method", list(MapMethod))
def test_the_encoder_map_shows_only_patches(retriever, images, method, relative):
    state, prune = retriever.prepare(images[:1]), PruneSettings(0.6)
    result = encoder_map(retriever, state, prune, MapSettings(method, MapTarget.SIMILARITY, 4, relative=relative))
    kept = retriever.encode(state, prune).positions[0].numpy()
    np.testing.assert_array_equal(np.flatnonzero(np.isfinite(result.query_grid)), np.sort(kept))
    if relative:
        assert np.nanmean(result.query_grid) == pytest.approx(0, abs=1e-6 * np.nanmax(np.abs(result.query_grid)) + 1e-9)


def test_the_encoder_attention_map_is_that_of_the_patches(retriever, images):
    state, prune = retriever.prepare(images[:1]), PruneSettings(0.6)
    encoder = retriever.model.encoder
    with torch.inference_mode():
        entering = encoder.finish(state, prune, until=len(encoder.blocks) - 1)
        attention = cls_row(encoder.blocks[-1], entering.tokens)[1][0].mean(dim=0)[4:].numpy()
    how = MapSettings(MapMethod.ATTENTION, MapTarget.SIMILARITY, 0)
    expected = to_grid(attention, entering.positions[0].numpy(), CONFIG.grid)
    np.testing.assert_allclose(encoder_map(retriever, state, prune, how).query_grid, expected, atol=1e-6)


def test_the_comparison_of_devices_reads_only_patches(retriever, images):
    result = parity(retriever, retriever, images[:1], None, SETTINGS)
    assert result.tokens == result.d_emd == result.dropped == result.hits == 0
