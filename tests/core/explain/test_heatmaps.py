from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fpc_core.config import MapMethod, MapSettings, MapTarget, ModelConfig, PruneSettings, QuerySettings, Variant
from fpc_core.data.datasets import ImageRecord
from fpc_core.explain.heatmap_methods import DECODER_METHODS
from fpc_core.explain.heatmap_targets import decoder_target, explained_index, similarity_to
from fpc_core.explain.heatmaps import PatchMap, decoder_map, encoder_map
from fpc_core.explain.masks import to_grid
from fpc_core.gallery.memory import GalleryMemory
from fpc_core.model.decoder import decoder_input
from fpc_core.model.fpc import FPC
from fpc_core.retrieval import Retriever

CONFIG = ModelConfig(stride=32, width=32, heads=4, cameras=2, identities=5)


@pytest.fixture(scope="module")
def retriever():
    torch.manual_seed(0)
    model = FPC(CONFIG).eval()
    for parameter in model.parameters():  # Larger weights make attention less uniform.
        parameter.data.mul_(3)
    rng = np.random.default_rng(0)
    shape = (6, CONFIG.patches, CONFIG.width)
    memory = GalleryMemory(
        rng.standard_normal((6, CONFIG.width), dtype=np.float32),
        rng.standard_normal(shape, dtype=np.float32).astype(np.float16),
        rng.standard_normal((6, CONFIG.width), dtype=np.float32),
        tuple(ImageRecord(Path(f"{i}.jpg"), i, 0, "gallery") for i in range(6)),
        CONFIG.grid,
    )
    return Retriever(model, memory)


def search(retriever, variant):
    settings = replace(QuerySettings(variant=variant, neighbors=3, shortlist=6)).with_keep_rate(0.6)
    return retriever.search(torch.randn(1, 3, 256, 128, generator=torch.Generator().manual_seed(1)), settings)


def explained(index, target=MapTarget.SIMILARITY, method=MapMethod.GRAD_CAM, **more):
    return MapSettings(method, target, index, **more)


@pytest.mark.parametrize("variant", list(Variant))
def test_the_heat_map_equals_the_grad_cam_formula(retriever, variant):
    trace = search(retriever, variant)
    target = similarity_to(retriever.memory.features[2])
    result = decoder_map(retriever, trace, explained(2)).scaled()

    rows = trace.consolidation.neighbors
    tokens = decoder_input(
        trace.encoding.cls[0].clone(),
        trace.encoding.patches[0].clone(),
        torch.from_numpy(retriever.memory.cls[rows]),
        retriever.memory.patches(rows),
        variant,
    ).unsqueeze(0)
    block, norm = retriever.model.decoder.block, retriever.model.decoder.norm
    normed = block.norm1(tokens).detach().requires_grad_(True)
    hidden = tokens + block.attn(normed)
    hidden = hidden + block.mlp(block.norm2(hidden))
    feature = retriever.model.rec_bottleneck(norm(hidden[:, 0]))[0]
    (gradient,) = torch.autograd.grad(target(feature), normed)
    heat = (normed[0, 1:] * gradient[0, 1:].mean(0)).sum(1).clamp_min(0).detach().numpy()
    heat = heat / heat.max()
    on_neighbors = heat[-3 * CONFIG.patches :].reshape(3, *CONFIG.grid)
    np.testing.assert_allclose(result.neighbor_grids, on_neighbors, atol=1e-4)
    if variant is Variant.PAPER:
        flat = result.query_grid.ravel()
        kept = trace.encoding.positions[0].numpy()
        np.testing.assert_allclose(flat[kept], heat[: len(kept)], atol=1e-4)
        assert np.isnan(np.delete(flat, kept)).all()
    else:
        assert np.isnan(result.query_grid).all()


@pytest.mark.parametrize("variant", list(Variant))
def test_the_attention_map_equals_that_of_the_consolidation(retriever, variant):
    trace = search(retriever, variant)
    result = decoder_map(retriever, trace, MapSettings(MapMethod.ATTENTION))
    np.testing.assert_allclose(result.neighbor_grids, trace.consolidation.neighbor_grids, atol=1e-6)
    np.testing.assert_allclose(result.query_grid, trace.consolidation.query_grid, atol=1e-6)


def test_the_default_target_is_the_first_image_or_likeliest_identity(retriever):
    trace = search(retriever, Variant.PAPER)
    first = int(trace.final.indices[0])
    np.testing.assert_array_equal(
        decoder_map(retriever, trace, MapSettings()).neighbor_grids,
        decoder_map(retriever, trace, explained(first)).neighbor_grids,
    )
    logits = retriever.model.rec_classifier.weight.detach().numpy() @ trace.consolidation.feature
    assert explained_index(retriever, trace, explained(None, MapTarget.IDENTITY)) == logits.argmax()
    score = decoder_target(retriever, trace, explained(None, MapTarget.IDENTITY))
    assert float(score(torch.from_numpy(trace.consolidation.feature))) == pytest.approx(logits.max(), abs=1e-6)


def test_another_target_and_other_weights_change_the_map(retriever):
    trace = search(retriever, Variant.PAPER)
    of = {i: decoder_map(retriever, trace, explained(i, MapTarget.IDENTITY)).neighbor_grids for i in (0, 1)}
    assert not np.allclose(of[0], of[1])
    torch.manual_seed(9)
    other = Retriever(FPC(CONFIG).eval(), retriever.memory)
    assert not np.allclose(of[0], decoder_map(other, trace, explained(0, MapTarget.IDENTITY)).neighbor_grids)


@pytest.mark.parametrize("method", sorted(DECODER_METHODS))
def test_relative_values_are_differences_from_the_mean_patch(retriever, method):
    trace = search(retriever, Variant.PAPER)
    plain, relative = (decoder_map(retriever, trace, MapSettings(method, relative=flag)) for flag in (False, True))
    for grid, moved in ((plain.query_grid, relative.query_grid), (plain.neighbor_grids, relative.neighbor_grids)):
        shift = (grid - moved)[np.isfinite(grid)]
        np.testing.assert_allclose(shift, shift[0], atol=1e-6 * np.nanmax(np.abs(grid)) + 1e-7)
    everything = np.concatenate([relative.query_grid.ravel(), relative.neighbor_grids.ravel()])
    assert np.nansum(everything) == pytest.approx(0, abs=float(1e-5 * np.nansum(np.abs(everything))))


def test_scaled_maps_share_one_peak_and_show_what_is_positive():
    result = PatchMap(np.array([[np.nan, 2.0]]), np.array([[[-1.0, 4.0]], [[1.0, 0.0]]])).scaled()
    np.testing.assert_array_equal(result.query_grid, [[np.nan, 0.5]])
    np.testing.assert_array_equal(result.neighbor_grids, [[[0.0, 1.0]], [[0.25, 0.0]]])


def test_a_map_without_positive_values_is_zero():
    result = PatchMap(np.full((1, 2), np.nan), np.array([[[-1.0, -4.0]]]))
    assert result.peak == 0
    assert not result.scaled().neighbor_grids.any()


@pytest.fixture(scope="module")
def state(retriever):
    return retriever.prepare(torch.randn(1, 3, 256, 128, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("method", list(MapMethod))
def test_the_encoder_map_covers_the_patches_of_the_last_block(retriever, state, method):
    result = encoder_map(retriever, state, PruneSettings(0.6), explained(4, method=method))
    kept = retriever.encode(state, PruneSettings(0.6)).positions[0].numpy()
    np.testing.assert_array_equal(np.flatnonzero(np.isfinite(result.query_grid)), np.sort(kept))
    assert result.neighbor_grids.shape == (0, *CONFIG.grid)
    assert np.nanmax(result.scaled().query_grid) in (0, 1)


def test_the_encoder_attention_map_is_that_of_the_last_block(retriever, state):
    image = torch.randn(1, 3, 256, 128, generator=torch.Generator().manual_seed(1))
    last = retriever.trace_blocks(image, None, PruneSettings(0.6))[CONFIG.token_blocks - 1]
    result = encoder_map(retriever, state, PruneSettings(0.6), explained(0, method=MapMethod.ATTENTION))
    expected = to_grid(last.attention[0].numpy(), last.entered[0].numpy(), CONFIG.grid)
    np.testing.assert_allclose(result.query_grid, expected, atol=1e-6)


def test_the_encoder_map_is_the_change_of_d_cos_without_a_patch(retriever, state):
    prune = PruneSettings(0.6)
    result = encoder_map(retriever, state, prune, explained(4, method=MapMethod.LEFT_OUT))
    encoder, patch = retriever.model.encoder, 7
    with torch.inference_mode():
        entering = encoder.finish(state, prune, until=len(encoder.blocks) - 1)
        tokens = entering.tokens[0]
        both = [tokens, torch.cat((tokens[: 1 + patch], tokens[2 + patch :]))]
        last = deepcopy(encoder.blocks[-1]).double()
        cls = torch.cat([last(each.double().unsqueeze(0))[:, 0] for each in both])
    near = torch.cosine_similarity(cls, torch.from_numpy(retriever.memory.cls[4]).double(), dim=-1)
    at = int(entering.positions[0, patch])
    assert result.query_grid.ravel()[at] == pytest.approx(float(near[0] - near[1]), rel=1e-3, abs=1e-8)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (explained(5, MapTarget.IDENTITY), r"training identity in 0\.\.4, got 5"),
        (explained(6), r"row of the gallery memory in 0\.\.5, got 6"),
        (
            explained(0, method=MapMethod.EIGEN_CAM),
            "cannot explain the decoder, because its maps do not depend on the decoder's attention",
        ),
    ],
)
def test_invalid_decoder_maps_are_refused(retriever, how, message):
    with pytest.raises(ValueError, match=message):
        decoder_map(retriever, search(retriever, Variant.PAPER), how)


@pytest.mark.parametrize(
    ("how", "blocks", "message"),
    [
        (explained(None), (3, 6, 9), "row of a gallery image as index"),
        (explained(0, MapTarget.IDENTITY), (3, 6, 9), "needs the target similarity"),
        (explained(6), (3, 6, 9), r"row of the gallery memory in 0\.\.5, got 6"),
        (explained(0), (3, 10), r"after the last dropping block"),
    ],
)
def test_invalid_encoder_maps_are_refused(retriever, state, how, blocks, message):
    with pytest.raises(ValueError, match=message):
        encoder_map(retriever, state, PruneSettings(0.6, blocks=blocks), how)
