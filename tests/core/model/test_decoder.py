"""The decoder computes one row of a transformer block without keys and values, and equals timm's whole block."""

from copy import deepcopy

import fpc_core  # noqa: F401  isort: skip  before timm
import numpy as np
import pytest
import torch

from fpc_core.config import ModelConfig, Variant
from fpc_core.model.decoder import Decoder, GlobalHead, cls_row, cls_rows, cls_rows_without, consolidate, decoder_input
from fpc_core.model.encoder import transformer_block
from fpc_core.model.fpc import FPC

CONFIG = ModelConfig(width=48, depth=4, heads=4, token_blocks=3, stride=16, identities=5, cameras=2)
ROWS, COLUMNS = CONFIG.grid
PATCHES = CONFIG.patches
K, M = 3, 20


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def model() -> FPC:
    torch.manual_seed(0)
    model = FPC(CONFIG).eval()
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.normal_(std=0.3)
        model.rec_bottleneck.running_mean.normal_()
        model.rec_bottleneck.running_var.uniform_(0.5, 2.0)
    return model


@pytest.fixture(scope="module")
def scene() -> dict[str, torch.Tensor]:
    """Return tokens of a query with M patches and of its K neighbours."""
    generator = torch.Generator().manual_seed(3)
    return {
        "query_cls": torch.randn(CONFIG.width, generator=generator),
        "query_patches": torch.randn(M, CONFIG.width, generator=generator),
        "query_positions": torch.randperm(PATCHES, generator=generator)[:M],
        "neighbor_cls": torch.randn(K, CONFIG.width, generator=generator),
        "neighbor_patches": torch.randn(K, PATCHES, CONFIG.width, generator=generator),
    }


def full_attention(block, tokens: torch.Tensor) -> torch.Tensor:
    """Return the attention (heads, T, T) of a block by its definition, for tokens (T, C) of one image."""
    attn = block.attn
    split = (3, attn.num_heads, attn.head_dim)
    query, key, _ = attn.qkv(block.norm1(tokens)).unflatten(-1, split).permute(1, 2, 0, 3)
    return (query @ key.transpose(1, 2) / attn.head_dim**0.5).softmax(dim=-1)


@pytest.mark.parametrize("count", [1, 2, 700])
def test_the_absorbed_cls_row_equals_the_whole_block(model, count):
    tokens = torch.randn(count, CONFIG.width, generator=torch.Generator().manual_seed(count))
    cls, attention = consolidate(model.decoder.block, model.decoder.norm, tokens)
    whole = model.decoder.norm(model.decoder.block(tokens.unsqueeze(0)))[0, 0]
    torch.testing.assert_close(cls, whole, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(attention, full_attention(model.decoder.block, tokens)[:, 0], atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(attention.sum(dim=1), torch.ones(CONFIG.heads))


def test_a_key_bias_changes_nothing():
    """Softmax ignores what is added to every logit, so the absorbed form can omit the key bias."""
    block = transformer_block(CONFIG).eval()
    tokens = torch.randn(2, 50, CONFIG.width)
    with torch.no_grad():
        before = block(tokens)[:, 0]
        block.attn.qkv.bias[CONFIG.width : 2 * CONFIG.width] += 3.0
    torch.testing.assert_close(block(tokens)[:, 0], before, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(cls_row(block, tokens)[0], before, atol=1e-5, rtol=1e-4)


def test_gradients_of_the_absorbed_row_equal_those_of_the_whole_block():
    with torch.inference_mode(False):
        torch.manual_seed(5)
        decoder = Decoder(CONFIG)
        tokens = torch.randn(1, 30, CONFIG.width, requires_grad=True)
        (whole,) = torch.autograd.grad(decoder(tokens).square().sum(), tokens)
        (absorbed,) = torch.autograd.grad(decoder.norm(cls_row(decoder.block, tokens)[0]).square().sum(), tokens)
        torch.testing.assert_close(absorbed, whole, atol=1e-5, rtol=1e-4)


def test_the_global_head_equals_its_blocks_and_norm():
    torch.manual_seed(6)
    head = GlobalHead(ModelConfig(width=48, depth=4, heads=4, token_blocks=2, stride=16)).eval()
    tokens = torch.randn(3, 25, 48)
    whole = head.norm(head.blocks[1](head.blocks[0](tokens)))[:, 0]
    torch.testing.assert_close(head(tokens), whole, atol=1e-5, rtol=1e-5)


def test_a_head_without_blocks_is_only_the_norm():
    head = GlobalHead(ModelConfig(width=48, depth=2, heads=4, token_blocks=2, stride=16)).eval()
    tokens = torch.randn(2, 5, 48)
    assert torch.equal(head(tokens), head.norm(tokens[:, 0]))


@pytest.mark.parametrize("variant", Variant)
def test_consolidation_equals_the_whole_block_and_its_bnneck(model, scene, variant):
    result = model.consolidate(**scene, neighbor_rows=np.array([4, 9, 2]), variant=variant)
    inputs = {name: value for name, value in scene.items() if name != "query_positions"}
    whole = model.rec_bottleneck(model.decoder(decoder_input(**inputs, variant=variant).unsqueeze(0)))[0]
    np.testing.assert_allclose(result.feature, whole.numpy(), atol=1e-5, rtol=1e-4)
    assert result.neighbors.tolist() == [4, 9, 2]


@pytest.mark.parametrize("variant", Variant)
def test_the_shares_of_equation_13_sum_to_one(model, scene, variant):
    result = model.consolidate(**scene, neighbor_rows=np.arange(K), variant=variant)
    assert result.cls_share + result.query_share + result.neighbor_shares.sum() == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(result.neighbor_grids.sum(axis=(1, 2)), result.neighbor_shares, rtol=1e-5)
    assert np.nansum(result.query_grid) == pytest.approx(result.query_share, abs=1e-6)
    assert (result.query_share > 0) == (variant is Variant.PAPER)


def test_attention_is_scattered_to_the_patches_it_belongs_to(model, scene):
    result = model.consolidate(**scene, neighbor_rows=np.arange(K), variant=Variant.PAPER)
    inputs = {name: value for name, value in scene.items() if name != "query_positions"}
    tokens = decoder_input(**inputs, variant=Variant.PAPER)
    row = full_attention(model.decoder.block, tokens).mean(dim=0)[0].numpy()
    assert result.query_grid.shape == (ROWS, COLUMNS)
    assert np.isnan(result.query_grid).sum() == PATCHES - M
    for index, position in enumerate(scene["query_positions"].tolist()):
        assert result.query_grid[position // COLUMNS, position % COLUMNS] == pytest.approx(row[1 + index], rel=1e-4)
    second_neighbor = row[1 + M + PATCHES : 1 + M + 2 * PATCHES].reshape(ROWS, COLUMNS)
    np.testing.assert_allclose(result.neighbor_grids[1], second_neighbor, rtol=1e-4)


def test_the_released_variant_excludes_the_query(model, scene):
    result = model.consolidate(**scene, neighbor_rows=np.arange(K), variant=Variant.RELEASED)
    other = {**scene, "query_cls": -scene["query_cls"], "query_patches": scene["query_patches"][:5] * 2}
    other["query_positions"] = scene["query_positions"][:5]
    assert np.isnan(result.query_grid).all()
    again = model.consolidate(**other, neighbor_rows=np.arange(K), variant=Variant.RELEASED)
    np.testing.assert_array_equal(again.feature, result.feature)


def test_the_order_of_the_neighbours_does_not_matter(model, scene):
    order = np.array([2, 0, 1])
    turned = {**scene, **{name: scene[name][order] for name in ("neighbor_cls", "neighbor_patches")}}
    one = model.consolidate(**scene, neighbor_rows=np.arange(K), variant=Variant.PAPER)
    two = model.consolidate(**turned, neighbor_rows=order, variant=Variant.PAPER)
    np.testing.assert_allclose(two.feature, one.feature, atol=1e-5)
    np.testing.assert_allclose(two.neighbor_shares, one.neighbor_shares[order], atol=1e-6)


def test_rows_that_share_tokens_equal_separate_rows(model):
    generator = torch.Generator().manual_seed(8)
    cls, tokens = torch.randn(3, CONFIG.width, generator=generator), torch.randn(40, CONFIG.width, generator=generator)
    member = torch.rand(3, 40, generator=generator) < 0.4
    together = cls_rows(model.decoder.block, cls, tokens, member)
    for row in range(3):
        alone = torch.cat((cls[row : row + 1], tokens[member[row]])).unsqueeze(0)
        torch.testing.assert_close(together[row], cls_row(model.decoder.block, alone)[0][0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("strength", [1.0, 100.0])
def test_rows_without_one_token_equal_the_row_of_the_others(model, strength):
    """At strength 100, a single token has all the attention of a head."""
    block = deepcopy(model.decoder.block).double()
    block.attn.qkv.weight[: CONFIG.width] *= strength
    tokens = torch.randn(30, CONFIG.width, generator=torch.Generator().manual_seed(5)).double()
    result = cls_rows_without(block, tokens, at_once=8)
    largest = cls_row(block, tokens.unsqueeze(0))[1][0, :, 1:].max()
    assert (largest > 1 - 1e-6) == (strength > 1)
    for index in range(1, 30):
        others = torch.cat((tokens[:index], tokens[index + 1 :]))
        torch.testing.assert_close(result[index - 1], cls_row(block, others.unsqueeze(0))[0][0])


@pytest.mark.parametrize("variant", Variant)
def test_batched_sets_of_neighbours_equal_single_ones(model, scene, variant):
    member = torch.tensor([[True, False, False], [True, False, True], [True, True, True]])
    query = (scene["query_cls"], scene["query_patches"])
    together = model.consolidate_sets(*query, scene["neighbor_cls"], scene["neighbor_patches"], member, variant)
    for feature, chosen in zip(together, member, strict=True):
        part = {**scene, **{name: scene[name][chosen] for name in ("neighbor_cls", "neighbor_patches")}}
        alone = model.consolidate(**part, neighbor_rows=np.flatnonzero(chosen), variant=variant).feature
        np.testing.assert_allclose(feature.numpy(), alone, atol=1e-5, rtol=1e-4)


def test_an_empty_set_of_neighbours_is_refused(model, scene):
    query = (scene["query_cls"], scene["query_patches"])
    nobody = torch.zeros(1, K, dtype=torch.bool)
    with pytest.raises(ValueError, match="at least one neighbour"):
        model.consolidate_sets(*query, scene["neighbor_cls"], scene["neighbor_patches"], nobody, Variant.PAPER)


def test_decoder_input_is_the_mean_cls_then_the_patches(scene):
    inputs = {name: value for name, value in scene.items() if name != "query_positions"}
    paper = decoder_input(**inputs, variant=Variant.PAPER)
    released = decoder_input(**inputs, variant=Variant.RELEASED)
    assert len(paper) == 1 + M + K * PATCHES
    assert len(released) == 1 + K * PATCHES
    everyone = torch.cat((scene["query_cls"].unsqueeze(0), scene["neighbor_cls"]))
    torch.testing.assert_close(paper[0], everyone.mean(dim=0))
    torch.testing.assert_close(released[0], scene["neighbor_cls"].mean(dim=0))
    assert torch.equal(paper[1 : 1 + M], scene["query_patches"])
    assert torch.equal(released[1:].unflatten(0, (K, PATCHES)), scene["neighbor_patches"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"neighbor_patches": torch.zeros(K, 7, 48)}, "neighbours must have 16 x 8 patches, the model's grid, got 7"),
        ({"neighbor_cls": torch.zeros(K + 1, 48)}, "must have the same length of at least 1"),
        ({"query_positions": torch.zeros(2, dtype=torch.long)}, "one entry per query patch, 20, got 2"),
    ],
)
def test_tokens_that_do_not_fit_are_refused(model, scene, change, message):
    with pytest.raises(ValueError, match=message):
        model.consolidate(**{**scene, **change}, neighbor_rows=np.arange(K), variant=Variant.PAPER)
