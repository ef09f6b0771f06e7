"""Run the steps of the released code for one query, as the baseline of the whole-query benchmark.

This module reproduces the released code's arithmetic, its order and its redundant work: the full attention matrix in
every block, the global head in addition to the decoder, normalising the gallery again in both neighbour searches and
before the final ranking, and the whole decoder block, of which only one row is used. It uses the weights of an `FPC`,
so that both implementations can be compared, but no other code of fpc_core.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block
from torch import Tensor

from fpc_core.model.fpc import FPC

DROPPING_BLOCKS = (3, 6, 9)
EPSILON = 0.05
LOOSE_STOP = 0.1
ITERATIONS = 100


@dataclass(frozen=True, eq=False)
class Gallery:
    """Gallery in float32, as the released code stores it.

    Attributes:
        cls: (G, C) `[cls]` tokens.
        patches: (G, N, C) patch tokens.
        features: (G, C) features for the final ranking.
    """

    cls: Tensor
    patches: Tensor
    features: Tensor


@dataclass(frozen=True, eq=False)
class ReleasedQuery:
    """Result of the released code for one query.

    Attributes:
        feature: (C,) consolidated feature.
        neighbors: (K,) gallery rows of the neighbours.
        ranking: (G,) gallery rows, nearest first.
        seconds: Duration of each stage.
    """

    feature: Tensor
    neighbors: Tensor
    ranking: Tensor
    seconds: dict[str, float] = field(default_factory=dict)


@torch.no_grad()
def released_query(
    model: FPC,
    gallery: Gallery,
    image: Tensor,
    camera: Tensor,
    keep_rate: float = 0.8,
    *,
    alpha: float = 0.4,
    neighbors: int = 10,
    shortlist: int = 100,
) -> ReleasedQuery:
    """Search the gallery for one query as the released code does. The model must be in eval mode.

    Args:
        model: Model whose weights are used.
        gallery: Gallery to search.
        image: (1, 3, H, W) normalised query image.
        camera: (1,) int64 camera of the query.
        keep_rate: Share of patches that each dropping block keeps.
        alpha: Weight of the transport similarity.
        neighbors: Number of images that the decoder reads (K).
        shortlist: Number of images for which transport is computed.
    """
    seconds: dict[str, float] = {}
    with timed(seconds, "encode"):
        tokens = encode(model, image, camera, keep_rate)
        global_feature(model, tokens)  # The released code computes this feature for queries too, but does not use it.
    cls, patches = tokens[0, 0], tokens[0, 1:]
    with timed(seconds, "match"):
        by_cosine = find_by_cosine(cls, gallery.cls, shortlist)
        rows = find_by_both(cls, patches, gallery, by_cosine, alpha, neighbors)
    with timed(seconds, "consolidate"):
        together = torch.cat((gallery.cls[rows].mean(dim=0, keepdim=True), gallery.patches[rows].flatten(0, 1)))
        decoded = model.decoder.norm(block(model.decoder.block, together.unsqueeze(0))[0])
        feature = model.rec_bottleneck(decoded[:, 0])[0]
    with timed(seconds, "rank the gallery"):
        ranking = distances(feature, gallery.features).argsort()
    return ReleasedQuery(feature, rows, ranking, seconds)


def encode(model: FPC, images: Tensor, cameras: Tensor, keep_rate: float) -> Tensor:
    """Return the tokens after the encoder's blocks, (B, 1 + M, C).

    Args:
        model: Model whose encoder is used.
        images: (B, 3, H, W) normalised images.
        cameras: (B,) int64 cameras.
        keep_rate: Share of patches that each dropping block keeps.
    """
    encoder = model.encoder
    patches = encoder.patch_embed(images).flatten(2).transpose(1, 2)
    tokens = torch.cat((encoder.cls_token.expand(len(images), -1, -1), patches), dim=1)
    tokens = tokens + encoder.position + encoder.config.camera_factor * encoder.camera[cameras]
    for index, layer in enumerate(encoder.blocks):
        tokens = block(layer, tokens, keep_rate if index in DROPPING_BLOCKS else 1.0)[0]
    return tokens


def block(layer: Block, tokens: Tensor, keep_rate: float = 1.0) -> tuple[Tensor, Tensor]:
    """Run a transformer block with its full attention matrix, dropping patches if the keep rate is below 1.

    Args:
        layer: Block whose weights are used.
        tokens: (B, T, C) input tokens.
        keep_rate: Share of patches to keep.

    Returns:
        Output tokens (B, T', C) and attention (B, heads, T, T).
    """
    batch, count, width = tokens.shape
    attn = layer.attn
    qkv = attn.qkv(layer.norm1(tokens)).reshape(batch, count, 3, attn.num_heads, width // attn.num_heads)
    query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    attention = ((query @ key.transpose(-2, -1)) * attn.scale).softmax(dim=-1)
    tokens = tokens + attn.proj((attention @ value).transpose(1, 2).reshape(batch, count, width))
    if keep_rate < 1:
        saliency = attention[:, :, 0, 1:].mean(dim=1)
        kept = saliency.topk(math.ceil(keep_rate * (count - 1)), dim=1).indices
        tokens = torch.cat((tokens[:, :1], tokens[:, 1:].gather(1, kept.unsqueeze(-1).expand(-1, -1, width))), dim=1)
    return tokens + layer.mlp(layer.norm2(tokens)), attention


def find_by_cosine(cls: Tensor, gallery_cls: Tensor, count: int) -> Tensor:
    """Return the nearest gallery rows by the cosine of `[cls]`; every call normalises the gallery again.

    Args:
        cls: (C,) `[cls]` token of the query.
        gallery_cls: (G, C) `[cls]` tokens of the gallery.
        count: Number of rows.
    """
    return (F.normalize(gallery_cls, dim=1) @ F.normalize(cls, dim=0)).topk(count).indices


def find_by_both(cls: Tensor, patches: Tensor, gallery: Gallery, rows: Tensor, alpha: float, count: int) -> Tensor:
    """Return the gallery rows with the largest (1 - alpha) cosine + alpha transport similarity.

    Args:
        cls: (C,) `[cls]` token of the query.
        patches: (M, C) patch tokens of the query.
        gallery: Gallery to search.
        rows: (S,) gallery rows to consider.
        alpha: Weight of the transport similarity.
        count: Number of rows to return.
    """
    unit_cls, unit_gallery_cls = F.normalize(cls, dim=0), F.normalize(gallery.cls, dim=1)[rows]
    unit_patches = F.normalize(patches.T, dim=0)  # Channels come first, as in the released code.
    unit_gallery = F.normalize(gallery.patches[rows].transpose(1, 2), dim=1)
    similarity = torch.einsum("cm,scn->snm", unit_patches, unit_gallery).contiguous()
    on_gallery = F.relu(torch.einsum("c,scn->sn", unit_cls, unit_gallery))
    on_query = F.relu(torch.einsum("cm,sc->sm", unit_patches, unit_gallery_cls))
    on_gallery = on_gallery / (on_gallery.sum(dim=1, keepdim=True) + 1e-7)
    on_query = on_query / (on_query.sum(dim=1, keepdim=True) + 1e-7)
    flow = transport(torch.exp(-(1 - similarity) / EPSILON), on_gallery, on_query)
    moved = (flow * similarity).sum(dim=(1, 2)).nan_to_num()
    both = (1 - alpha) * (unit_gallery_cls @ unit_cls) + alpha * moved
    return rows[both.topk(count).indices]


def transport(kernel: Tensor, on_gallery: Tensor, on_query: Tensor, stop: float = LOOSE_STOP) -> Tensor:
    """Return the transport plans (S, N, M) after at most 100 Sinkhorn iterations.

    Args:
        kernel: (S, N, M) kernel.
        on_gallery: (S, N) weights of the gallery patches.
        on_query: (S, M) weights of the query patches.
        stop: The iterations stop when the mean change of all row scalings is smaller.
    """
    rows, columns = torch.ones_like(on_gallery), torch.ones_like(on_query)
    for _ in range(ITERATIONS):
        before = rows
        rows = on_gallery / (kernel @ columns.unsqueeze(-1)).squeeze(-1)
        columns = on_query / (kernel.transpose(1, 2).contiguous() @ rows.unsqueeze(-1)).squeeze(-1)
        if (rows - before).abs().mean().item() < stop:
            break
    return (rows.unsqueeze(-1) @ columns.unsqueeze(-2)) * kernel


def distances(feature: Tensor, gallery_features: Tensor) -> Tensor:
    """Return squared Euclidean distances (G,) of normalised features. Every call normalises the gallery again."""
    query, gallery = F.normalize(feature, dim=0), F.normalize(gallery_features, dim=1)
    return query.square().sum() + gallery.square().sum(dim=1) - 2 * gallery @ query


def global_feature(model: FPC, tokens: Tensor) -> Tensor:
    """Return the global features (B, C) of tokens (B, T, C), computing every block of the head for all tokens."""
    for layer in model.head.blocks:
        tokens = block(layer, tokens)[0]
    return model.bottleneck(model.head.norm(tokens)[:, 0])


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Store the duration of the `with` block in seconds under the name of the stage."""
    start = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - start
