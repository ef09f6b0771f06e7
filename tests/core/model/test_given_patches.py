"""The strategy `given` repeats other strategies with their patches, and equals keep rate 1 without any."""

from dataclasses import replace
from functools import cache

import fpc_core  # noqa: F401  isort: skip  before timm
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fpc_core.bounds import MAX_PATCHES
from fpc_core.config import MODEL_STRATEGIES, DropStrategy, ModelConfig, PruneSettings, QuerySettings
from fpc_core.evaluation.metrics.flops import encoder_flops
from fpc_core.evaluation.paper_tables.score_recipe import ScoreRecipe
from fpc_core.explain.masks import dropped_patches
from fpc_core.figures.recipe import FigureKind, FigureRecipe
from fpc_core.io.dataclass_json import RecipeError, to_plain
from fpc_core.model.encoder import SparseEncoder, trace_blocks
from fpc_core.results import Encoding

CONFIG = ModelConfig(width=32, depth=8, heads=4, token_blocks=7, stride=16, cameras=3)
PRUNE = PruneSettings(keep_rate=0.7, blocks=(2, 4, 6))
NOTHING = PRUNE.with_given(((), (), ()))
SOME = PRUNE.with_given(((0, 5), (), (127,)))


@cache
def encoder() -> SparseEncoder:
    """Return an encoder whose weights are large enough for attention to differ clearly between patches."""
    model, generator = SparseEncoder(CONFIG), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.2, generator=generator)
    return model.eval()


@cache
def state(count: int = 1):
    images = torch.randn(count, 3, 256, 128, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        return encoder().prefix(images, None, PRUNE.blocks[0])


@torch.inference_mode()
def encode(prune: PruneSettings, count: int = 1) -> Encoding:
    return encoder().finish(state(count), prune)


def assert_identical(one: Encoding, other: Encoding) -> None:
    assert torch.equal(one.tokens, other.tokens)
    for here, there in zip(one.stages, other.stages, strict=True):
        assert here.block == there.block
        for name in ("entered", "attention", "kept"):
            assert torch.equal(getattr(here, name), getattr(there, name))


@pytest.mark.parametrize("keep_rate", [0.3, 0.5, 0.8, 0.95, 1.0])
@pytest.mark.parametrize("strategy", MODEL_STRATEGIES)
def test_the_models_own_choice_gives_its_own_result(strategy, keep_rate):
    model = replace(PRUNE, keep_rate=keep_rate, strategy=strategy, seed=3)
    chosen = encode(model)
    prune = replace(model, keep_rate=0.8).with_given(dropped_patches(chosen))
    assert prune.of_model == replace(model, keep_rate=0.8)
    assert_identical(encode(prune), chosen)


@pytest.mark.parametrize("base", MODEL_STRATEGIES)
def test_nothing_dropped_equals_keep_rate_one(base):
    assert_identical(encode(replace(NOTHING, base=base), 3), encode(replace(PRUNE, keep_rate=1.0), 3))


patch_sets = st.lists(st.sets(st.integers(0, 127), max_size=60), min_size=3, max_size=3).map(
    lambda sets: tuple(tuple(sorted(patches - set().union(*sets[:index]))) for index, patches in enumerate(sets))
)


@settings(max_examples=25, deadline=None)
@given(patch_sets, st.sampled_from(MODEL_STRATEGIES))
def test_exactly_the_given_patches_are_dropped(dropped, base):
    if sum(map(len, dropped)) == CONFIG.patches:
        return
    prune = replace(PRUNE, strategy=base).with_given(dropped)
    encoding = encode(prune, 2)
    alive = set(range(128))
    for stage, patches, count in zip(encoding.stages, dropped, prune.remaining(128), strict=True):
        alive -= set(patches)
        assert stage.kept.shape == (2, count)
        assert all(set(row) == alive and len(row) == len(alive) for row in stage.kept.tolist())
    assert encoding.tokens.shape == (2, 1 + len(alive), CONFIG.width)


def test_the_keep_rate_does_not_matter():
    assert_identical(encode(replace(SOME, keep_rate=0.3)), encode(SOME))


def test_a_batch_drops_the_same_patches_of_every_image():
    batch = encode(SOME, 3)
    for row in range(3):
        with torch.inference_mode():
            alone = encoder().finish(state(3)[row : row + 1], SOME)
        assert torch.equal(alone.positions, batch.positions[row : row + 1])
        torch.testing.assert_close(alone.tokens, batch.tokens[row : row + 1], atol=1e-5, rtol=1e-5)


def test_dropped_given_patches_have_no_later_effect():
    prune = replace(PRUNE, blocks=(6,)).with_given(((3, 4, 90),))
    images = torch.randn(1, 3, 256, 128, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        entering = encoder().prefix(images, None, 6)
        plain = encoder().finish(entering, prune)
        entering.tokens[0, 1 + torch.tensor([3, 4, 90])] = 100.0
        assert torch.equal(encoder().finish(entering, prune).tokens, plain.tokens)


def test_traced_blocks_drop_the_given_patches():
    images = torch.randn(1, 3, 256, 128, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        stages = trace_blocks(encoder().blocks, encoder().embed(images, None), SOME)
    assert [stage.kept.shape[1] for stage in stages] == [128, 128, 126, 126, 126, 126, 125]


def test_flops_count_the_patches_that_are_left():
    config = replace(CONFIG, token_blocks=8)
    model = PruneSettings(0.7, blocks=(2, 4, 6))
    same = model.with_given(dropped_patches(encode(PRUNE)))
    assert encoder_flops(config, same) == encoder_flops(config, model)
    assert encoder_flops(config, NOTHING) == encoder_flops(config, replace(model, keep_rate=1.0))
    assert (
        encoder_flops(config, SOME).without_attention_products < encoder_flops(config, NOTHING).with_attention_products
    )


@pytest.mark.parametrize(
    ("dropped", "message"),
    [
        (((1,), (1,), ()), "patch 1 is dropped twice, in blocks 2 and 4"),
        (((1, 1), (), ()), "patch 1 is dropped twice, in blocks 2 and 2"),
        (((2, 1), (), ()), "the patches given for block 2 must be in ascending order"),
        (((), ()), r"each of the 3 dropping blocks \(2, 4, 6\)"),
        (((-1,), (), ()), r"patches given for block 2 must be positions in 0\.\.16383"),
        (((), (MAX_PATCHES,), ()), "patches given for block 4 must be positions"),
        (((True,), (), ()), "patches given for block 2 must be positions"),
        (([1], (), ()), "must be a tuple of positions"),
    ],
)
def test_impossible_patches_are_refused_with_a_reason(dropped, message):
    with pytest.raises(ValueError, match=message):
        PRUNE.with_given(dropped)


def test_patches_that_do_not_fit_the_grid_are_refused():
    for run in (encode, lambda prune: encoder_flops(CONFIG, prune)):
        with pytest.raises(ValueError, match=r"patch 128 is not in the grid, whose patches are 0\.\.127"):
            run(PRUNE.with_given(((), (5,), (128,))))
        with pytest.raises(ValueError, match="all 128 patches are dropped; keep at least one"):
            run(PRUNE.with_given((tuple(range(100)), tuple(range(100, 128)), ())))


def test_patches_need_the_strategy_and_a_base_that_orders_them():
    with pytest.raises(ValueError, match="set the strategy to given"):
        replace(SOME, strategy=DropStrategy.RANDOM)
    with pytest.raises(ValueError, match="base must be one of non_salient, random, salient"):
        replace(SOME, base=DropStrategy.GIVEN)


def test_recipes_write_given_patches_as_short_texts():
    recipe = FigureRecipe(FigureKind.DROP_PROCESS, ("a.png",), QuerySettings(SOME))
    assert '"given": [\n        "IQ",' in recipe.to_json()
    assert FigureRecipe.from_json(recipe.to_json()) == recipe
    for wrong in ('["IQ", "IQ", ""]', '["~", "", ""]', "[[0], [], []]"):
        text = recipe.to_json().replace('"IQ"', "@").split("@")
        broken = text[0].rsplit("[", 1)[0] + wrong + text[1].split("]", 1)[1]
        with pytest.raises(RecipeError, match=r"settings\.prune"):
            FigureRecipe.from_json(broken)


def test_settings_without_given_patches_are_written_as_before():
    assert to_plain(PruneSettings()) == {"keep_rate": 0.8, "strategy": "non_salient", "blocks": [3, 6, 9], "seed": 0}


def test_recipes_of_many_queries_refuse_the_patches_of_one():
    chosen = QuerySettings(SOME)
    with pytest.raises(RecipeError, match="is for one query only"):
        ScoreRecipe(settings=chosen)
    for kind, queries in ((FigureKind.DROP_PROCESS, ("a", "b")), (FigureKind.KEEP_RATES, ("a",))):
        with pytest.raises(RecipeError, match="is for one query, but"):
            FigureRecipe(kind, queries, chosen)
