"""Multiply-adds of the sparse encoder in closed form, and Table 3 beside the paper's.

Counted as the common counters of 2022 did: the patch embedding and every linear layer of all blocks (including the
global head's), one multiply-add as one operation. These counters leave out the two products of attention, queries by
keys and weights by values, because they are no layers; both totals are given here. Norms, softmax, biases and
activations are below one per cent and are left out of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fpc_core.config import KEEP_RATES, VIT_BASE_STRIDE_11, ModelConfig, PruneSettings
from fpc_core.evaluation.paper_tables.published import TABLE_3


@dataclass(frozen=True)
class Flops:
    """Multiply-adds of one image, without the two attention products (as in the paper) and with them."""

    without_attention_products: int
    with_attention_products: int


@dataclass(frozen=True)
class Table3Row:
    """One keep rate of Table 3.

    Attributes:
        keep_rate: Share of the patches that a dropping block keeps.
        flops: Computed here.
        paper: The paper's number in G; None for keep rates and models that the paper does not list.
    """

    keep_rate: float
    flops: Flops
    paper: float | None


def encoder_flops(config: ModelConfig, prune: PruneSettings) -> Flops:
    """Count the multiply-adds of one image through all blocks.

    Args:
        config: The model.
        prune: Which blocks drop how many patches.

    Raises:
        ValueError: A dropping block lies outside the model.
    """
    if prune.blocks[-1] >= config.depth:
        raise ValueError(f"dropping block {prune.blocks[-1]} lies outside the {config.depth} blocks of the model")
    width = config.width
    hidden = int(width * config.mlp_ratio)
    patches = config.patches
    linear = patches * width * 3 * config.patch_size**2
    products = 0
    for block in range(config.depth):
        tokens = 1 + patches
        linear += tokens * 4 * width * width  # queries, keys, values and the output projection
        products += 2 * tokens * tokens * width
        if block in prune.blocks:  # after the attention, before the MLP
            patches = prune.kept(patches)
        linear += (1 + patches) * 2 * width * hidden
    return Flops(linear, linear + products)


def table3(config: ModelConfig = VIT_BASE_STRIDE_11, keep_rates: Sequence[float] = KEEP_RATES) -> list[Table3Row]:
    """Return the FLOPs row of Table 3, with the paper's numbers where the model is the paper's.

    Args:
        config: The model, by default the paper's.
        keep_rates: One row each.
    """
    size = (config.image_size, config.patch_size, config.stride, config.width, config.depth, config.mlp_ratio)
    base = VIT_BASE_STRIDE_11
    published = (base.image_size, base.patch_size, base.stride, base.width, base.depth, base.mlp_ratio) == size
    paper = dict(zip(TABLE_3.column("keep rate"), TABLE_3.column("FLOPs (G)"), strict=True)) if published else {}
    return [
        Table3Row(rate, encoder_flops(config, PruneSettings(keep_rate=rate)), paper.get(rate))  # type: ignore[arg-type]
        for rate in keep_rates
    ]


def format_table(rows: Sequence[Table3Row]) -> str:
    """Format the rows as fixed-width text without a final newline; G is 10^9 multiply-adds.

    The column "saved" is relative to the first row.

    Raises:
        ValueError: There are no rows.
    """
    if not rows:
        raise ValueError("no keep rates to print")
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
    return "\n".join([*lines, "The paper's figures leave the attention products out, as counters of layers do."])
