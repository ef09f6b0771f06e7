"""Multiply-adds of the sparse encoder in closed form, and the FLOPs of Table 3 next to the paper's.

As in common FLOP counters of 2022, one multiply-add is one operation, and the patch embedding and all linear layers of
all blocks are counted, including those of the global head. These counters omit the two products of attention (queries
by keys, and weights by values), because they are not layers; this module computes the totals with and without them.
Norms, softmax, biases and activations make up less than one per cent and are ignored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fpc_core.config import KEEP_RATES, STEM_CHANNELS, VIT_BASE_STRIDE_11, ModelConfig, PruneSettings, Stem
from fpc_core.evaluation.paper_tables.published import TABLE_3


@dataclass(frozen=True)
class Flops:
    """Multiply-adds for one image, without the two attention products (as in the paper) and with them."""

    without_attention_products: int
    with_attention_products: int


@dataclass(frozen=True)
class Table3Row:
    """FLOPs at one keep rate of Table 3.

    Attributes:
        keep_rate: Share of the patches that a dropping block keeps.
        flops: Multiply-adds computed by `encoder_flops`.
        paper: The paper's number in G; None for keep rates and models that the paper does not list.
    """

    keep_rate: float
    flops: Flops
    paper: float | None


def encoder_flops(config: ModelConfig, prune: PruneSettings) -> Flops:
    """Count the multiply-adds of all blocks for one image.

    Args:
        config: Architecture of the model.
        prune: Settings that define which blocks drop how many patches.

    Raises:
        ValueError: The model lacks one of the dropping blocks or of the given patches.
    """
    if prune.blocks[-1] >= config.depth:
        raise ValueError(f"dropping blocks must be in 0..{config.depth - 1} for this model, got {prune.blocks[-1]}")
    width = config.width
    hidden = int(width * config.mlp_ratio)
    patches, others = config.patches, 1 + config.vit.extra_tokens
    prune.check_grid(patches)
    after = dict(zip(prune.blocks, prune.remaining(patches), strict=True))
    linear = patches * width * 3 * config.patch_size**2
    if config.vit.stem is not Stem.NONE:
        linear = patches * width * STEM_CHANNELS * (config.patch_size // 2) ** 2 + _stem(config)
    products = 0
    for block in range(config.depth):
        tokens = others + patches
        linear += tokens * 4 * width * width  # Projections to queries, keys and values, and output projection.
        products += 2 * tokens * tokens * width
        patches = after.get(block, patches)  # Patches are dropped after the attention and before the MLP.
        linear += (others + patches) * 2 * width * hidden
    return Flops(linear, linear + products)


def _stem(config: ModelConfig) -> int:
    """Return the multiply-adds of the stem's three convolutions, whose maps have half the height and width."""
    pixels = math.prod((side + 1) // 2 for side in config.image_size)
    return pixels * STEM_CHANNELS * (3 * 7**2 + 2 * STEM_CHANNELS * 3**2)


def table3(config: ModelConfig = VIT_BASE_STRIDE_11, keep_rates: Sequence[float] = KEEP_RATES) -> list[Table3Row]:
    """Return the FLOPs of Table 3, with the paper's numbers if `config` is the paper's model.

    Args:
        config: Architecture of the model, by default the paper's.
        keep_rates: Keep rates to list.
    """
    published = _sizes(VIT_BASE_STRIDE_11) == _sizes(config)
    paper = dict(zip(TABLE_3.column("keep rate"), TABLE_3.column("FLOPs (G)"), strict=True)) if published else {}
    return [
        Table3Row(rate, encoder_flops(config, PruneSettings(keep_rate=rate)), paper.get(rate))  # type: ignore[arg-type]
        for rate in keep_rates
    ]


def _sizes(config: ModelConfig) -> tuple[object, ...]:
    """Return the settings on which the multiply-adds depend."""
    size = (config.image_size, config.patch_size, config.stride, config.width, config.depth, config.mlp_ratio)
    return (*size, config.vit.extra_tokens, config.vit.stem)


def format_table(rows: Sequence[Table3Row]) -> str:
    """Format the rows as fixed-width text without a final newline.

    One G is 10^9 multiply-adds. The column "saved" is relative to the first row.

    Raises:
        ValueError: There are no rows.
    """
    if not rows:
        raise ValueError("the table has no rows; pass at least one keep rate")
    lines = [
        "FLOPs of the sparse encoder, G multiply-adds per image (Table 3)",
        f"{'keep rate':>9}  {'paper':>6}  {'linear layers':>13}  {'with attention products':>23}  {'saved':>6}",
    ]
    whole = rows[0].flops.without_attention_products
    for row in rows:
        counted, everything = row.flops.without_attention_products, row.flops.with_attention_products
        paper = "-" if row.paper is None else f"{row.paper:.1f}"
        lines.append(
            f"{row.keep_rate:>9}  {paper:>6}  {counted / 1e9:>13.2f}  {everything / 1e9:>23.2f}  "
            f"{1 - counted / whole:>6.0%}"
        )
    return "\n".join([*lines, "The paper's numbers exclude the attention products, like FLOP counters of layers."])
