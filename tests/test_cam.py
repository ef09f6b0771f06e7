from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fpc_core.config import ModelConfig, QuerySettings, Variant
from fpc_core.data.datasets import ImageRecord
from fpc_core.explain.cam import decoder_cam, identity_logit, similarity_to
from fpc_core.memory import GalleryMemory
from fpc_core.model.fpc import FPC, decoder_input
from fpc_core.retrieval import Retriever

CONFIG = ModelConfig(stride=32, width=32, heads=4, cameras=2, identities=5)


@pytest.fixture(scope="module")
def retriever():
    torch.manual_seed(0)
    model = FPC(CONFIG).eval()
    for parameter in model.parameters():  # spread out, so that attention is not uniform
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


@pytest.mark.parametrize("variant", list(Variant))
def test_heat_equals_grad_cam_written_out(retriever, variant):
    trace = search(retriever, variant)
    target = similarity_to(retriever.memory.features[2])
    found = decoder_cam(retriever, trace, target)

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
    # Dropped patches count as zeros in the mean; a common factor leaves the normalised map as it is.
    heat = (normed[0, 1:] * gradient[0, 1:].sum(0)).sum(1).clamp_min(0).detach().numpy()
    heat = heat / heat.max()
    on_neighbors = heat[-3 * CONFIG.patches :].reshape(3, *CONFIG.grid)
    np.testing.assert_allclose(found.neighbor_grids, on_neighbors, atol=1e-4)
    if variant is Variant.PAPER:
        flat = found.query_grid.ravel()
        kept = trace.encoding.positions[0].numpy()
        np.testing.assert_allclose(flat[kept], heat[: len(kept)], atol=1e-4)
        assert np.isnan(np.delete(flat, kept)).all()
    else:
        assert np.isnan(found.query_grid).all()


def test_the_default_target_is_the_image_ranked_first(retriever):
    trace = search(retriever, Variant.PAPER)
    named = decoder_cam(retriever, trace, similarity_to(retriever.memory.features[trace.final.indices[0]]))
    np.testing.assert_array_equal(decoder_cam(retriever, trace).neighbor_grids, named.neighbor_grids)


def test_another_target_and_other_weights_change_the_map(retriever):
    trace = search(retriever, Variant.PAPER)
    first = decoder_cam(retriever, trace, identity_logit(retriever.model, 0)).neighbor_grids
    assert not np.allclose(first, decoder_cam(retriever, trace, identity_logit(retriever.model, 1)).neighbor_grids)
    torch.manual_seed(9)
    other = Retriever(FPC(CONFIG).eval(), retriever.memory)
    assert not np.allclose(first, decoder_cam(other, trace, identity_logit(other.model, 0)).neighbor_grids)


def test_the_model_is_left_as_it_was(retriever):
    trace = search(retriever, Variant.PAPER)
    decoder_cam(retriever, trace)
    assert not retriever.model.decoder.block.norm1._forward_hooks
    assert all(parameter.grad is None for parameter in retriever.model.parameters())


def test_an_unknown_identity_is_named(retriever):
    with pytest.raises(ValueError, match=r"training class in 0\.\.4, not 5"):
        identity_logit(retriever.model, 5)
