"""Tiny random weights of other families of Vision Transformers, with the tensor names of their public code.

The values depend only on names, shapes and the seed. Therefore the public code of a family can run with the same
weights, and its outputs are stored as expected values (tests/golden/families).
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

WIDTH, HEADS, DEPTH = 32, 4, 4


def random_tensors(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> dict[str, Tensor]:
    """Return tensors with which every part of a model has an effect: norms near 1, positive variances, no zeros.

    Args:
        shapes: Shapes by tensor name.
        seed: Seed of the values.
    """
    generator, tensors = np.random.default_rng(seed), {}
    for name in sorted(shapes):
        values = 0.2 * generator.standard_normal(shapes[name])
        if name.endswith("running_var"):
            values = 0.5 + np.abs(values)
        elif name.endswith(("weight", "gamma", "lambda1", "gamma_1", "gamma_2")) and len(shapes[name]) == 1:
            values = 1 + values
        elif len(shapes[name]) == 4 and name.endswith("weight"):  # A convolution, which keeps the scale of its input.
            values *= 5 / np.sqrt(np.prod(shapes[name][1:]))
        elif name.endswith("num_batches_tracked"):
            values = np.zeros((), np.int64)
        tensors[name] = torch.from_numpy(np.asarray(values, np.int64 if values.dtype == np.int64 else np.float32))
    return tensors


def random_images(size: tuple[int, int], count: int = 2) -> Tensor:
    """Return normalised images, (count, 3, height, width) float32."""
    return random_tensors({"images": (count, 3, *size)}, seed=1)["images"] * 5


def hugging_face_shapes(kind: str) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of ViTModel ("vit"), DeiTModel ("deit") or Dinov2WithRegistersModel ("dinov2")."""
    hidden, patch, patches = 2 * WIDTH, 14 if kind == "dinov2" else 16, 49 if kind == "dinov2" else 8
    extra = {"vit": 0, "deit": 1, "dinov2": 0}[kind]
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.cls_token": (1, 1, WIDTH),
        "embeddings.position_embeddings": (1, 1 + extra + patches, WIDTH),
        "embeddings.patch_embeddings.projection.weight": (WIDTH, 3, patch, patch),
        "embeddings.patch_embeddings.projection.bias": (WIDTH,),
        "layernorm.weight": (WIDTH,),
        "layernorm.bias": (WIDTH,),
    }
    if kind == "deit":
        shapes["embeddings.distillation_token"] = (1, 1, WIDTH)
    if kind == "dinov2":
        shapes |= {"embeddings.mask_token": (1, WIDTH), "embeddings.register_tokens": (1, 4, WIDTH)}
    mlp = ("mlp.fc1", "mlp.fc2") if kind == "dinov2" else ("intermediate.dense", "output.dense")
    norms = ("norm1", "norm2") if kind == "dinov2" else ("layernorm_before", "layernorm_after")
    for block in range(DEPTH):
        layer = f"encoder.layer.{block}."
        square = [f"attention.attention.{name}" for name in ("query", "key", "value")] + ["attention.output.dense"]
        for name, shape in ((each, (WIDTH, WIDTH)) for each in square):
            shapes |= {f"{layer}{name}.weight": shape, f"{layer}{name}.bias": shape[:1]}
        shapes |= {f"{layer}{mlp[0]}.weight": (hidden, WIDTH), f"{layer}{mlp[0]}.bias": (hidden,)}
        shapes |= {f"{layer}{mlp[1]}.weight": (WIDTH, hidden), f"{layer}{mlp[1]}.bias": (WIDTH,)}
        for name in norms:
            shapes |= {f"{layer}{name}.weight": (WIDTH,), f"{layer}{name}.bias": (WIDTH,)}
        if kind == "dinov2":
            shapes |= {f"{layer}layer_scale{number}.lambda1": (WIDTH,) for number in (1, 2)}
    return shapes


def clip_reid_shapes(depth: int = 12, cameras: int = 3) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of CLIP-ReID with a small image encoder; its forward code needs 12 blocks."""
    shapes: dict[str, tuple[int, ...]] = {
        "image_encoder.class_embedding": (WIDTH,),
        "image_encoder.positional_embedding": (9, WIDTH),
        "image_encoder.conv1.weight": (WIDTH, 3, 16, 16),
        "image_encoder.proj": (WIDTH, 24),
        "cv_embed": (cameras, WIDTH),
        "classifier.weight": (7, WIDTH),
        "classifier_proj.weight": (7, 24),
    }
    for norm in ("ln_pre", "ln_post"):
        shapes |= {f"image_encoder.{norm}.{part}": (WIDTH,) for part in ("weight", "bias")}
    shapes |= neck_shapes() | neck_shapes(24, "bottleneck_proj")
    for block in range(depth):
        layer = f"image_encoder.transformer.resblocks.{block}."
        shapes |= {f"{layer}attn.in_proj_weight": (3 * WIDTH, WIDTH), f"{layer}attn.in_proj_bias": (3 * WIDTH,)}
        for name, outputs, inputs in (
            ("attn.out_proj", WIDTH, WIDTH),
            ("mlp.c_fc", 4 * WIDTH, WIDTH),
            ("mlp.c_proj", WIDTH, 4 * WIDTH),
        ):
            shapes |= {f"{layer}{name}.weight": (outputs, inputs), f"{layer}{name}.bias": (outputs,)}
        for name in ("ln_1", "ln_2"):
            shapes |= {f"{layer}{name}.weight": (WIDTH,), f"{layer}{name}.bias": (WIDTH,)}
    return shapes


def transreid_shapes(*, stem: bool, cameras: int = 0, parts: int = 0) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of TransReID-SSL (with `stem`) or PASS (with `parts`), without heads."""
    hidden, patch = 2 * WIDTH, 8 if stem else 16
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, WIDTH),
        "pos_embed": (1, 8 + (not parts), WIDTH),
        "patch_embed.proj.weight": (WIDTH, 64 if stem else 3, patch, patch),
        "patch_embed.proj.bias": (WIDTH,),
        "norm.weight": (WIDTH,),
        "norm.bias": (WIDTH,),
    }
    if cameras:
        shapes["sie_embed"] = (cameras, 1, WIDTH)
    if parts:
        shapes["cls_pos"] = (1, 1, WIDTH)
    for part in range(1, parts + 1):
        shapes |= {f"part_token{part}": (1, 1, WIDTH), f"part{part}_pos": (1, 1, WIDTH)}
    if stem:
        shapes |= _stem_shapes()
    for block in range(DEPTH):
        layer = f"blocks.{block}."
        for name, outputs, inputs in (
            ("attn.qkv", 3 * WIDTH, WIDTH),
            ("attn.proj", WIDTH, WIDTH),
            ("mlp.fc1", hidden, WIDTH),
            ("mlp.fc2", WIDTH, hidden),
        ):
            shapes |= {f"{layer}{name}.weight": (outputs, inputs), f"{layer}{name}.bias": (outputs,)}
        for name in ("norm1", "norm2"):
            shapes |= {f"{layer}{name}.weight": (WIDTH,), f"{layer}{name}.bias": (WIDTH,)}
    return shapes


def neck_shapes(width: int = WIDTH, name: str = "bottleneck") -> dict[str, tuple[int, ...]]:
    """Return names and shapes of a BNNeck."""
    shapes: dict[str, tuple[int, ...]] = {f"{name}.num_batches_tracked": ()}
    return shapes | {f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}


def _stem_shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for number, (inputs, kernel) in ((0, (3, 7)), (3, (64, 3)), (6, (64, 3))):
        shapes[f"patch_embed.conv.{number}.weight"] = (64, inputs, kernel, kernel)
    for number in (1, 4):
        shapes |= {f"patch_embed.conv.{number}.IN.{part}": (32,) for part in ("weight", "bias")}
        shapes |= neck_shapes(32, f"patch_embed.conv.{number}.BN")
    return shapes | neck_shapes(64, "patch_embed.conv.7")
