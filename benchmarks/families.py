"""Measure the cost of pruning for each family of checkpoints: `python -m benchmarks.families [--repeat 9]`.

Every model has the architecture in which weights of the family are usually published. The weights are random, because
the cost depends only on the architecture. One image is encoded at keep rates 1.0 and 0.8 in turn within one run.
Parity with the reference code of each family is tested in tests/core/model/test_families.py.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace

import torch

from fpc_core.config import VIT_BASE_STRIDE_16, VIT_SMALL, Activation, ModelConfig, PruneSettings, Stem, VitOptions
from fpc_core.evaluation.metrics.flops import encoder_flops
from fpc_core.model.fpc import FPC

_SMALL_14 = replace(VIT_SMALL, image_size=(252, 126), patch_size=14, stride=14, cameras=0)
MODELS: dict[str, ModelConfig] = {
    "FPC and TransReID, ViT-B, stride 11": ModelConfig(),
    "TransReID, ViT-B, stride 16": VIT_BASE_STRIDE_16,
    "TransReID-SSL, ViT-S with ICS stem": replace(VIT_SMALL, vit=VitOptions(stem=Stem.ICS)),
    "PASS, ViT-S with 3 part tokens": replace(VIT_SMALL, vit=VitOptions(extra_tokens=3)),
    "CLIP-ReID, ViT-B, stride 16": replace(
        VIT_BASE_STRIDE_16,
        vit=VitOptions(activation=Activation.QUICK_GELU, norm_eps=1e-5, norm_before_blocks=True, camera_on_cls=True),
    ),
    "DeiT with distillation token, ViT-S": replace(VIT_SMALL, cameras=0, vit=VitOptions(extra_tokens=1)),
    "DeiT-III, DINO, MAE, ViT-S": replace(VIT_SMALL, cameras=0),
    "DINOv2 with 4 registers, ViT-S/14": replace(_SMALL_14, vit=VitOptions(extra_tokens=4)),
}
KEEP_RATES = (1.0, 0.8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=9)
    repeat = parser.parse_args().repeat
    print("| family | GFLOPs at 1.0 | at 0.8 | ms per image at 1.0 | at 0.8 | ratio |\n|---|---|---|---|---|---|")
    for name, config in MODELS.items():
        model = FPC(config).eval()
        images = torch.randn(1, 3, *config.image_size)
        times: dict[float, list[float]] = {rate: [] for rate in KEEP_RATES}
        with torch.inference_mode():
            for _ in range(repeat + 1):
                for rate in KEEP_RATES:
                    prune = PruneSettings(rate)
                    start = time.perf_counter()
                    model.encoder.finish(model.encoder.prefix(images, None, prune.blocks[0]), prune)
                    times[rate].append(1000 * (time.perf_counter() - start))
        flops = [encoder_flops(config, PruneSettings(rate)).with_attention_products / 1e9 for rate in KEEP_RATES]
        whole, pruned = (statistics.median(times[rate][1:]) for rate in KEEP_RATES)  # The first is a warm-up.
        print(f"| {name} | {flops[0]:.1f} | {flops[1]:.1f} | {whole:.0f} | {pruned:.0f} | {pruned / whole:.2f} |")


if __name__ == "__main__":
    main()
