"""Compare the decoder block of the released code with our computation of only its `[cls]` row.

    python -m benchmarks.decoder [--repeats 15] [--neighbors 10]

The script prints a Markdown table. All implementations use the same tokens and weights, and each runs in an
uninterrupted series. "Cold" means that weights and tokens are evicted from the CPU caches before every run, as in a
whole query. The tokens are those of the released variant: the mean `[cls]`, then the patches of the neighbours.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor

import fpc_core.model  # noqa: F401  must come before timm
from benchmarks.released_path import block as released_block
from fpc_core.config import VIT_BASE_STRIDE_11, VIT_TINY, ModelConfig
from fpc_core.model.decoder import Decoder, consolidate

MODELS = {"ViT-B, stride 11": VIT_BASE_STRIDE_11, "ViT-Tiny, stride 16": VIT_TINY}
SWEEP_BYTES = 128 << 20  # Size of an array that is larger than the last-level cache.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--neighbors", type=int, default=10)
    arguments = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, {arguments.neighbors} neighbours, median of {arguments.repeats}\n")
    print(
        "| model | tokens | whole block, full attention | whole block, fused attention | `[cls]` row, absorbed | "
        "the same, cold | faster than the whole block | and cold | largest difference |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name, config in MODELS.items():
        print(row(name, config, arguments.neighbors, arguments.repeats))


@torch.inference_mode()
def row(name: str, config: ModelConfig, neighbors: int, repeats: int) -> str:
    """Return a row of the table.

    Args:
        name: Name of the model.
        config: Architecture of the model.
        neighbors: Number of neighbours (K).
        repeats: Number of timed runs.
    """
    released, fused, absorbed = ways(config, neighbors).values()
    difference = float((released() - absorbed()).abs().max())
    whole, quick, ours = (median_ms(way, repeats) for way in (released, fused, absorbed))
    cold = median_ms(absorbed, repeats, sweep=torch.zeros(SWEEP_BYTES // 4))
    count = 1 + neighbors * config.patches
    return (
        f"| {name} | {count} | {whole:.1f} ms | {quick:.1f} ms | {ours:.2f} ms | {cold:.2f} ms | "
        f"{whole / ours:.0f}x | {whole / cold:.0f}x | {difference:.1e} |"
    )


def ways(config: ModelConfig, neighbors: int, device: torch.device | None = None) -> dict[str, Callable[[], Tensor]]:
    """Return three functions, by name, that compute the `[cls]` row (C,) from the same random tokens and weights.

    Args:
        config: Architecture of the model.
        neighbors: Number of neighbours (K).
        device: Device of the tensors; None for the CPU.
    """
    torch.manual_seed(0)
    decoder = Decoder(config).eval().to(device)
    tokens = torch.randn(1 + neighbors * config.patches, config.width).to(device)
    return {
        "released whole block": lambda: decoder.norm(released_block(decoder.block, tokens.unsqueeze(0))[0])[0, 0],
        "whole block, fused attention": lambda: decoder(tokens.unsqueeze(0))[0],
        "`[cls]` row, absorbed": lambda: consolidate(decoder.block, decoder.norm, tokens)[0],
    }


def median_ms(way: Callable[[], Tensor], repeats: int, sweep: Tensor | None = None) -> float:
    """Return the median time of a function in milliseconds, after one untimed run.

    Args:
        way: Function to time.
        repeats: Number of timed runs.
        sweep: Large tensor that is overwritten before each run, to evict other data from the caches; None for none.
    """
    seconds = []
    for _ in range(repeats + 1):
        if sweep is not None:
            sweep.add_(1)
        start = time.perf_counter()
        way()
        seconds.append(time.perf_counter() - start)
    return 1000 * median(seconds[1:])


if __name__ == "__main__":
    main()
