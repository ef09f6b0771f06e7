"""The FLOPs of Table 3 agree with the paper and with torch's counter on running models."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fpc_core.config import KEEP_RATES, VIT_TINY, ModelConfig, PruneSettings, Stem, VitOptions
from fpc_core.evaluation.metrics.flops import encoder_flops, format_table, table3
from fpc_core.model.encoder import SparseEncoder

LAYERS = ("aten.convolution", "aten.addmm", "aten.mm")
TINY = ModelConfig(image_size=(96, 48), stride=12, width=24, depth=12, token_blocks=12, heads=3, cameras=2)


@torch.no_grad()
def counted(model, *arguments):
    """Count the multiply-adds of a model with torch.

    Args:
        model: The model to run.
        *arguments: Its input: one image, and what else the model needs.

    Returns:
        The multiply-adds of linear layers and convolutions, and those of all operations.
    """
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model.eval()(*arguments)
    operations = {str(name): flops // 2 for name, flops in counter.get_flop_counts()["Global"].items()}
    return sum(n for name, n in operations.items() if name in LAYERS), sum(operations.values())


@pytest.mark.parametrize(
    ("keep_rate", "without", "with_products"),
    [
        (1.0, 20.78, 21.87),
        (0.9, 18.11, 18.97),
        (0.8, 15.73, 16.43),
        (0.7, 13.66, 14.25),
        (0.6, 11.91, 12.41),
        (0.5, 10.39, 10.84),
    ],
)
def test_vit_base_at_stride_11_counts_what_table_3_prints(keep_rate, without, with_products):
    row = next(row for row in table3() if row.keep_rate == keep_rate)
    assert round(row.flops.without_attention_products / 1e9, 2) == without
    assert round(row.flops.with_attention_products / 1e9, 2) == with_products
    assert abs(row.paper - without) < 0.1


def test_a_plain_timm_model_has_the_same_count():
    model = VisionTransformer(img_size=(64, 32), patch_size=16, embed_dim=24, depth=3, num_heads=3, num_classes=0)
    config = ModelConfig(image_size=(64, 32), stride=16, width=24, depth=3, token_blocks=3, heads=3)
    flops = encoder_flops(config, PruneSettings(keep_rate=1.0, blocks=(1,)))
    assert counted(model, torch.zeros(1, 3, 64, 32)) == (
        flops.without_attention_products,
        flops.with_attention_products,
    )


@pytest.mark.parametrize("keep_rate", [1.0, 0.9, 0.55, 0.1])
@pytest.mark.parametrize("blocks", [(3, 6, 9), (0, 11), (5,)])
@pytest.mark.parametrize("vit", [VitOptions(), VitOptions(extra_tokens=4), VitOptions(stem=Stem.ICS)])
def test_the_encoder_runs_as_many_multiply_adds_as_counted(keep_rate, blocks, vit):
    prune, config = PruneSettings(keep_rate=keep_rate, blocks=blocks), replace(TINY, vit=vit)
    layers, _ = counted(SparseEncoder(config), torch.zeros(1, 3, 96, 48), None, prune)
    assert layers == encoder_flops(config, prune).without_attention_products


def test_earlier_dropping_saves_more_multiply_adds():
    early, late = (
        encoder_flops(TINY, PruneSettings(keep_rate=0.5, blocks=(block,))).with_attention_products for block in (2, 8)
    )
    assert early < late


def test_the_papers_flops_are_shown_for_its_model_only():
    assert [row.paper for row in table3(VIT_TINY)] == [None] * len(KEEP_RATES)
    assert [row.paper for row in table3(keep_rates=(1.0, 0.85))] == [20.8, None]
    assert [row.paper for row in table3(ModelConfig(cameras=6, identities=751))] == [20.8, 18.1, 15.7, 13.6, 11.9, 10.4]


def test_the_printed_table_names_both_counts_beside_the_papers():
    lines = format_table(table3()).splitlines()
    assert lines[4].split() == ["0.8", "15.7", "15.73", "16.43", "24%"]
    assert "attention products" in lines[1]
    assert lines[2].split()[-1] == "0%"


def test_a_keep_rate_between_two_tenths_is_printed_in_full():
    assert format_table(table3(keep_rates=(0.85,))).splitlines()[2].split()[0] == "0.85"


def test_an_empty_table_is_refused():
    with pytest.raises(ValueError, match="the table has no rows"):
        format_table([])


def test_a_dropping_block_outside_the_model_is_refused():
    with pytest.raises(ValueError, match=r"dropping blocks must be in 0\.\.11 for this model, got 12"):
        encoder_flops(TINY, PruneSettings(blocks=(3, 12)))
