"""Attribution methods agree with closed forms and pass the sanity checks of Adebayo et al. (2018)."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from fpc_core.config import MapMethod, ModelConfig
from fpc_core.explain.attribution import relevance, value_parts
from fpc_core.explain.heatmap_methods import DECODER_METHODS, DESCRIPTIONS, NAMES, TARGETED
from fpc_core.model.decoder import Decoder

CONFIG = ModelConfig(width=32, heads=4)
TOKENS = 41
BY_GRADIENT = TARGETED - {MapMethod.LEFT_OUT}


@pytest.fixture
def decoder():
    return lively(0)


@pytest.fixture
def tokens():
    return torch.randn(TOKENS, CONFIG.width, generator=torch.Generator().manual_seed(1))


def lively(seed):
    """Return a decoder with random weights that are large enough for attention to differ between tokens."""
    generator = torch.Generator().manual_seed(seed)
    decoder = Decoder(CONFIG).eval()
    for parameter in decoder.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    return decoder


def towards(seed=2):
    direction = torch.randn(CONFIG.width, generator=torch.Generator().manual_seed(seed))
    return lambda features: features @ direction.to(features)


def linear(decoder):
    """Return a copy whose output is linear in the normed tokens: uniform attention, no MLP, and no final norm."""
    decoder = deepcopy(decoder)
    decoder.block.attn.qkv.weight.data[: CONFIG.width] = 0  # Queries of 0 make attention uniform.
    decoder.block.attn.qkv.bias.data[: CONFIG.width] = 0
    decoder.block.mlp.fc2.weight.data.zero_()
    decoder.block.mlp.fc2.bias.data.zero_()
    decoder.norm = nn.Identity()
    return decoder


def measured(decoder, tokens, method, target=None):
    return relevance(decoder.block, decoder.norm, tokens, target or towards(), method)


@pytest.mark.parametrize("method", list(MapMethod))
def test_every_method_has_a_name_a_description_and_finite_values(decoder, tokens, method):
    values = measured(decoder, tokens, method)
    assert values.shape == (TOKENS - 1,)
    assert np.isfinite(values).all()
    assert np.ptp(values) > 0
    assert NAMES[method]
    assert DESCRIPTIONS[method].endswith(".")


def test_the_parts_of_all_tokens_sum_to_the_attention_output(decoder, tokens):
    attn = decoder.block.attn
    with torch.no_grad():
        whole = attn(decoder.block.norm1(tokens.unsqueeze(0)))[0, 0]
        parts = value_parts(decoder.block, tokens)
        torch.testing.assert_close(parts.sum(dim=0) + attn.proj.bias, whole, atol=1e-5, rtol=1e-5)
    norms = parts.norm(dim=1)[1:].numpy()
    np.testing.assert_allclose(measured(decoder, tokens, MapMethod.VALUE_NORM), norms, rtol=1e-6)


def test_leave_one_out_equals_the_block_without_the_patch(decoder, tokens):
    result = measured(decoder, tokens, MapMethod.LEFT_OUT)
    target = towards()
    exact = deepcopy(decoder).double()
    with torch.no_grad():
        whole = target(exact(tokens.double().unsqueeze(0)))
        without = [torch.cat((tokens[:n], tokens[n + 1 :])).double() for n in range(1, TOKENS)]
        lost = [float(whole - target(exact(rest.unsqueeze(0)))) for rest in without]
    np.testing.assert_allclose(result, lost, rtol=1e-5, atol=1e-9)


def test_hires_cam_sums_to_the_logit_of_a_linear_head(decoder, tokens):
    plain, target = linear(decoder), towards()
    attn = plain.block.attn
    with torch.no_grad():
        score = target(plain(tokens.unsqueeze(0))[0])
        to_value, bias = attn.qkv.weight.chunk(3)[2], attn.qkv.bias.chunk(3)[2]
        own = plain.block.norm1(tokens)[0] @ to_value.T / TOKENS + bias
        of_cls = target(tokens[0] + own @ attn.proj.weight.T + attn.proj.bias)
    result = measured(plain, tokens, MapMethod.HIRES_CAM)
    assert result.sum() + float(of_cls) == pytest.approx(float(score), rel=1e-5)


def test_grad_cam_equals_hires_cam_for_equal_patches(decoder, tokens):
    plain = linear(decoder)
    one, other = (measured(plain, tokens, method) for method in (MapMethod.GRAD_CAM, MapMethod.HIRES_CAM))
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-7)


def test_layer_cam_and_grad_cam_plus_plus_equal_their_formulas(decoder, tokens):
    block = deepcopy(decoder.block)
    values = block.norm1(tokens).detach().requires_grad_(True)
    mixed = tokens + block.attn(values.unsqueeze(0))[0]
    feature = decoder.norm((mixed + block.mlp(block.norm2(mixed)))[0])
    (gradient,) = torch.autograd.grad(towards()(feature), values)
    x, g = values[1:].detach().double().numpy(), gradient[1:].double().numpy()
    result = measured(decoder, tokens, MapMethod.LAYER_CAM)
    np.testing.assert_allclose(result, (np.maximum(g, 0) * x).sum(1), rtol=1e-3, atol=1e-6)
    alpha = g**2 / (2 * g**2 + x.sum(0) * g**3)  # Eq. 19 of Chattopadhay et al. (2018)
    written = x @ (np.maximum(g, 0) * alpha).sum(0)
    result = measured(decoder, tokens, MapMethod.GRAD_CAM_PLUS_PLUS)
    np.testing.assert_allclose(result, written, rtol=0, atol=1e-4 * np.abs(written).max())


@pytest.mark.parametrize("method", sorted(BY_GRADIENT))
def test_the_unit_of_the_target_changes_no_map(decoder, tokens, method):
    """A constant that prevents division by zero must not change maps of tiny gradients."""
    plain = linear(decoder)
    small = measured(plain, tokens, method, lambda features: 1e-5 * towards()(features))
    smaller = measured(plain, tokens, method, lambda features: 1e-8 * towards()(features))
    np.testing.assert_allclose(small / np.abs(small).max(), smaller / np.abs(smaller).max(), atol=1e-5)


def test_eigen_cam_is_the_main_direction_with_the_larger_side_positive(decoder):
    plain = deepcopy(decoder)
    plain.block.norm1 = nn.Identity()
    offsets = torch.tensor([0.0, -3.0, -1.0, 1.0, 0.0, 0.5])
    direction = torch.randn(CONFIG.width, generator=torch.Generator().manual_seed(3))
    tokens = torch.ones(6, CONFIG.width) + offsets.unsqueeze(1) * direction
    along = (offsets[1:] - offsets[1:].mean()).numpy() * float(direction.norm())
    np.testing.assert_allclose(measured(plain, tokens, MapMethod.EIGEN_CAM), -along, rtol=1e-4, atol=1e-4)


def test_only_targeted_methods_depend_on_the_target(decoder, tokens):
    for method in MapMethod:
        one, other = (measured(decoder, tokens, method, towards(seed)) for seed in (2, 4))
        assert np.array_equal(one, other) == (method not in TARGETED)


CASCADE = ("norm", "block.mlp", "block.norm2", "block.attn.proj", "block.attn.qkv", "block.norm1")
"""Names of the modules of the decoder, from output to input."""


def alike(method, stages):
    """Return the mean rank correlation of maps before and after randomising the first `stages` modules of CASCADE."""
    return float(np.mean(correlations(method, stages)))


def correlations(method, stages):
    """Return the rank correlations for six decoders before and after randomising the first `stages` modules."""
    results = []
    for seed in range(6):
        tokens = torch.randn(201, CONFIG.width, generator=torch.Generator().manual_seed(100 + seed))
        before, randomised = lively(seed), lively(50 + seed)
        after = deepcopy(before)
        for name in CASCADE[:stages]:
            after.get_submodule(name).load_state_dict(randomised.get_submodule(name).state_dict())
        results.append(spearmanr(measured(before, tokens, method), measured(after, tokens, method))[0])
    return results


@pytest.mark.parametrize("method", DECODER_METHODS)
def test_random_weights_change_the_map(method):
    assert alike(method, 0) == pytest.approx(1)
    assert abs(alike(method, len(CASCADE))) < 0.35


@pytest.mark.parametrize("method", sorted(TARGETED))
def test_a_targeted_map_changes_with_weights_above_the_attention(method):
    assert alike(method, CASCADE.index("block.attn.proj")) < 0.9
    assert alike(method, CASCADE.index("block.attn.qkv")) < 0.6


def test_value_norm_depends_on_the_projection_and_attention_does_not():
    above, projection = CASCADE.index("block.attn.proj"), CASCADE.index("block.attn.qkv")
    assert alike(MapMethod.ATTENTION, projection) == pytest.approx(1)
    assert alike(MapMethod.VALUE_NORM, above) == pytest.approx(1)
    assert alike(MapMethod.VALUE_NORM, projection) < 1


def test_eigen_cam_depends_on_no_weights_but_the_first_norm():
    assert alike(MapMethod.EIGEN_CAM, CASCADE.index("block.norm1")) == pytest.approx(1)
    with_another_norm = correlations(MapMethod.EIGEN_CAM, len(CASCADE))
    assert max(with_another_norm) < 0.99
    assert min(with_another_norm) < 0  # Another norm can even reverse the map.
    assert MapMethod.EIGEN_CAM not in DECODER_METHODS


@pytest.mark.parametrize("method", list(MapMethod))
def test_the_model_is_left_unchanged(decoder, tokens, method):
    before = {name: value.clone() for name, value in decoder.state_dict().items()}
    measured(decoder, tokens, method)
    assert not any(module._forward_hooks for module in decoder.modules())
    assert all(parameter.grad is None for parameter in decoder.parameters())
    assert all(torch.equal(before[name], value) for name, value in decoder.state_dict().items())
