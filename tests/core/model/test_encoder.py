"""The sparse encoder equals timm's plain Vision Transformer, and dropping changes nothing but what it should."""

from dataclasses import replace
from itertools import pairwise

import fpc_core  # noqa: F401  isort: skip  before timm
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from fpc_core.config import MODEL_STRATEGIES, DropStrategy, ModelConfig, PruneSettings
from fpc_core.model.encoder import SparseEncoder, _attend, trace_blocks

CONFIG = ModelConfig(width=32, depth=8, heads=4, token_blocks=7, stride=16, cameras=3)
PRUNE = PruneSettings(keep_rate=0.7, blocks=(2, 4, 6))


@pytest.fixture(scope="module")
def encoder() -> SparseEncoder:
    return lively(SparseEncoder(CONFIG))


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(3, 3, 256, 128, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.inference_mode():
        yield


def lively(encoder: SparseEncoder) -> SparseEncoder:
    """Give an encoder weights that are large enough for attention to differ clearly between patches."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.2, generator=generator)
    return encoder.eval()


def plain_vit(encoder: SparseEncoder) -> VisionTransformer:
    """Return timm's model with the encoder's weights and without a final norm."""
    config = encoder.config
    vit = VisionTransformer(
        img_size=config.image_size,
        embed_dim=config.width,
        depth=config.token_blocks,
        num_heads=config.heads,
        num_classes=0,
    )
    vit.norm = torch.nn.Identity()
    names = {"patch_embed.proj": "patch_embed", "pos_embed": "position"}
    ours = encoder.state_dict()
    state = {}
    for name in vit.state_dict():
        theirs = next((name.replace(a, b) for a, b in names.items() if name.startswith(a)), name)
        state[name] = ours[theirs]
    vit.load_state_dict(state)
    return vit.eval()


def test_keep_rate_one_equals_the_plain_vision_transformer(images):
    encoder = lively(SparseEncoder(replace(CONFIG, cameras=0)))
    encoding = encoder(images, None, replace(PRUNE, keep_rate=1.0))
    torch.testing.assert_close(encoding.tokens, plain_vit(encoder).forward_features(images), atol=1e-5, rtol=1e-5)
    assert torch.equal(encoding.positions, torch.arange(CONFIG.patches).expand(3, -1))


@pytest.mark.parametrize("strategy", MODEL_STRATEGIES)
def test_keep_rate_one_is_the_same_for_every_strategy_and_any_block(encoder, images, strategy):
    plain = encoder(images, None, PruneSettings(1.0, blocks=(0,)))
    other = encoder(images, None, PruneSettings(1.0, strategy, blocks=(1, 5)))
    torch.testing.assert_close(other.tokens, plain.tokens, atol=1e-5, rtol=1e-5)


def test_the_cls_row_and_fused_attention_equal_the_full_attention_matrix(encoder, images):
    block, tokens = encoder.blocks[2], encoder.embed(images, None)
    attn = block.attn
    query, key, value = attn.qkv(block.norm1(tokens)).unflatten(-1, (3, 4, 8)).permute(2, 0, 3, 1, 4)
    matrix = (query @ key.transpose(-2, -1) / 8**0.5).softmax(dim=-1)
    residual = tokens + attn.proj((matrix @ value).transpose(1, 2).flatten(2))
    ours, attention = _attend(block, tokens)
    torch.testing.assert_close(ours, residual, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(attention, matrix.mean(dim=1)[:, 0, 1:], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("keep_rate", "counts"), [(0.7, (90, 63, 45)), (0.5, (64, 32, 16)), (0.001, (1, 1, 1))])
def test_every_dropping_block_keeps_the_rounded_up_share(encoder, images, keep_rate, counts):
    encoding = encoder(images, None, replace(PRUNE, keep_rate=keep_rate))
    assert tuple(stage.kept.shape[1] for stage in encoding.stages) == counts
    assert encoding.tokens.shape == (3, 1 + counts[-1], CONFIG.width)


def test_kept_positions_are_distinct_and_enter_the_next_block(encoder, images):
    stages = encoder(images, None, PRUNE).stages
    assert [stage.block for stage in stages] == [2, 4, 6]
    for stage in stages:
        for entered, kept in zip(stage.entered.tolist(), stage.kept.tolist(), strict=True):
            assert len(set(kept)) == len(kept)
            assert set(kept) <= set(entered)
    for before, after in pairwise(stages):
        assert torch.equal(before.kept, after.entered)


def test_the_paper_keeps_the_most_attended_patches_in_descending_order(encoder, images):
    for stage in encoder(images, None, PRUNE).stages:
        count = stage.kept.shape[1]
        for image in range(3):
            score = dict(zip(stage.entered[image].tolist(), stage.attention[image].tolist(), strict=True))
            kept = [score[position] for position in stage.kept[image].tolist()]
            assert kept == sorted(score.values(), reverse=True)[:count]


def test_salient_and_non_salient_drop_opposite_patches(encoder, images):
    half = replace(PRUNE, keep_rate=0.5, blocks=(3,))
    paper = encoder(images, None, half).stages[0].kept
    opposite = encoder(images, None, replace(half, strategy=DropStrategy.SALIENT)).stages[0].kept
    together = torch.cat((paper, opposite), dim=1).sort(dim=1).values
    assert torch.equal(together, torch.arange(CONFIG.patches).expand(3, -1))


def test_the_random_strategy_depends_on_its_seed_only(encoder, images):
    def kept(seed: int, rows: slice = slice(None)) -> torch.Tensor:
        return encoder(images[rows], None, replace(PRUNE, strategy=DropStrategy.RANDOM, seed=seed)).positions

    assert torch.equal(kept(7), kept(7))
    assert torch.equal(kept(7)[1:2], kept(7, slice(1, 2)))
    assert not torch.equal(kept(7).sort(dim=1).values, kept(8).sort(dim=1).values)


@pytest.mark.parametrize("strategy", MODEL_STRATEGIES)
def test_a_reused_state_gives_bit_equal_results(encoder, images, strategy):
    state = encoder.prefix(images, torch.tensor([0, 1, 2]), block=2)
    before = state.tokens.clone()
    for keep_rate in (0.5, 1.0, 0.7):
        prune = replace(PRUNE, keep_rate=keep_rate, strategy=strategy)
        reused, whole = encoder.finish(state, prune), encoder(images, torch.tensor([0, 1, 2]), prune)
        assert torch.equal(reused.tokens, whole.tokens)
        assert torch.equal(reused.positions, whole.positions)
    assert torch.equal(state.tokens, before)


def test_a_batch_equals_its_images_one_by_one(encoder, images):
    cameras = torch.tensor([2, 0, 1])
    batch = encoder(images, cameras, PRUNE)
    for i in range(3):
        alone = encoder(images[i : i + 1], cameras[i : i + 1], PRUNE)
        assert set(alone.positions[0].tolist()) == set(batch.positions[i].tolist())
        torch.testing.assert_close(by_position(alone), by_position(batch[i : i + 1]), atol=1e-5, rtol=1e-5)


def by_position(encoding) -> torch.Tensor:
    order = encoding.positions.argsort(dim=1)
    return encoding.patches.gather(1, order.unsqueeze(-1).expand_as(encoding.patches))


def test_an_unknown_camera_is_the_mean_of_the_camera_embeddings(encoder, images):
    added = encoder.embed(images, None) - encoder.embed(images, torch.tensor([0, 1, 2]))
    wanted = 3.0 * (encoder.camera.mean(dim=0) - encoder.camera[:, 0])
    torch.testing.assert_close(added, wanted.unsqueeze(1).expand_as(added), atol=1e-5, rtol=1e-4)


def test_a_model_without_cameras_ignores_them(images):
    encoder = lively(SparseEncoder(replace(CONFIG, cameras=0)))
    assert torch.equal(encoder.embed(images, None), encoder.embed(images, torch.tensor([4, 4, 4])))


@pytest.mark.parametrize(("stride", "grid"), [(7, (35, 17)), (11, (22, 11)), (13, (19, 9)), (16, (16, 8))])
def test_patches_overlap_at_any_stride(images, stride, grid):
    encoder = lively(SparseEncoder(replace(CONFIG, stride=stride, depth=2, token_blocks=2)))
    encoding = encoder(images[:1], None, PruneSettings(0.8, blocks=(1,)))
    assert encoding.grid == grid
    assert encoding.stages[0].entered.shape[1] == grid[0] * grid[1]
    # The patch at row 1, column 2 starts at pixel (stride, 2 stride).
    patch = images[:1, :, stride : stride + 16, 2 * stride : 2 * stride + 16]
    first = encoder.embed(images[:1], None)[0, 1 + grid[1] + 2]
    alone = torch.einsum("chw,ochw->o", patch[0], encoder.patch_embed.weight) + encoder.patch_embed.bias
    alone = alone + encoder.position[0, 1 + grid[1] + 2] + 3.0 * encoder.camera.mean(dim=0)[0]
    torch.testing.assert_close(first, alone, atol=1e-4, rtol=1e-4)


def test_dropped_patches_have_no_later_effect(encoder, images):
    """Changing a dropped token of the state changes nothing after the last drop."""
    prune = replace(PRUNE, blocks=(6,))
    state = encoder.prefix(images, None, block=6)
    plain = encoder.finish(state, prune)
    for image in range(3):
        dropped = sorted(set(range(CONFIG.patches)) - set(plain.positions[image].tolist()))
        state.tokens[image, 1 + torch.tensor(dropped)] = 100.0
    assert torch.equal(encoder.finish(state, prune).tokens, plain.tokens)


def test_stopping_before_a_block_gives_its_input_tokens(encoder, images):
    prune = PruneSettings(keep_rate=0.7, blocks=(2, 4))
    state = encoder.prefix(images, None, 2)
    whole, entering = encoder.finish(state, prune), encoder.finish(state, prune, until=6)
    assert torch.equal(entering.positions, whole.positions)
    torch.testing.assert_close(encoder.blocks[6](entering.tokens), whole.tokens)
    for until in (4, 8):
        with pytest.raises(ValueError, match=r"until must be in 5\.\.7"):
            encoder.finish(state, prune, until=until)


def test_wrong_input_is_named(encoder, images):
    with pytest.raises(ValueError, match=r"images must be \(B, 3, 256, 128\), got \(3, 3, 128, 128\)"):
        encoder(images[:, :, :128], None, PRUNE)
    with pytest.raises(ValueError, match=r"cameras must be in 0..2, got 0..3"):
        encoder(images, torch.tensor([0, 3, 1]), PRUNE)
    with pytest.raises(ValueError, match=r"cameras must have shape \(3,\) for 3 images"):
        encoder(images, torch.tensor([0]), PRUNE)
    with pytest.raises(ValueError, match="dropping block 7 does not exist"):
        encoder(images, None, replace(PRUNE, blocks=(2, 7)))
    with pytest.raises(ValueError, match="compute it with prefix"):
        encoder.finish(encoder.prefix(images, None, block=3), PRUNE)


def test_traced_blocks_have_the_attention_and_drops_of_a_search(encoder, images):
    cameras = torch.tensor([0, 1, 2])
    stages = trace_blocks(encoder.blocks, encoder.embed(images, cameras), PRUNE)
    assert [stage.block for stage in stages] == list(range(7))
    for expected in encoder(images, cameras, PRUNE).stages:
        followed = stages[expected.block]
        assert torch.equal(followed.entered, expected.entered)
        assert torch.equal(followed.kept, expected.kept)
        assert torch.allclose(followed.attention, expected.attention, atol=1e-6)
    for before, after in pairwise(stages):
        assert torch.equal(before.kept, after.entered)
    assert [stage.kept.shape[1] for stage in stages] == [128, 128, 90, 90, 63, 63, 45]


def test_a_traced_block_without_a_drop_has_its_own_attention(encoder, images):
    tokens = encoder.embed(images, None)
    stage = trace_blocks(encoder.blocks, tokens, PRUNE)[1]
    tokens = encoder.blocks[0](tokens)
    attn = encoder.blocks[1].attn
    qkv = attn.qkv(encoder.blocks[1].norm1(tokens)).unflatten(-1, (3, attn.num_heads, attn.head_dim))
    query, key, _ = qkv.permute(2, 0, 3, 1, 4)
    full = ((query @ key.transpose(-2, -1)) * attn.scale).softmax(dim=-1)
    assert torch.allclose(stage.attention, full.mean(dim=1)[:, 0, 1:], atol=1e-6)
    assert torch.equal(stage.kept, stage.entered)
