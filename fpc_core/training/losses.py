"""Losses of Eq. 3 and 14, and two optional losses that are not in the paper.

The paper's losses are the cross-entropy of identities and the batch-hard triplet loss with a soft margin. One optional
loss guides the `[cls]` attention to the person and needs data with ground-truth masks; the other one trains the patch
tokens for the distance by which patch matching ranks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from fpc_core.results import DropStage

PATCH_SCALE = 20.0  # Distances of patches differ by a few hundredths, where the soft margin would hardly change.


def soft_triplet(features: Tensor, identities: Tensor) -> Tensor:
    """Compute the batch-hard triplet loss with a soft margin (Hermans et al. 2017).

    This is log(1 + exp(d_ap - d_an)), averaged over anchors.

    Args:
        features: (B, C) features before the BNNeck.
        identities: (B,) classes of the images; at least two different classes, each at least twice.

    Raises:
        ValueError: There is only one class, or a class occurs only once.
    """
    features = at_least_float32(features)
    distance = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    return _batch_hard(distance, identities)


def patch_triplet(cls: Tensor, patches: Tensor, identities: Tensor) -> Tensor:
    """Compute the batch-hard triplet loss of `relaxed_transport`, which is multiplied by `PATCH_SCALE`.

    This loss is not in the paper. It trains patch tokens for the distance by which patch matching ranks.

    Args:
        cls: (B, C) `[cls]` tokens of the images.
        patches: (B, N, C) patch tokens of the images.
        identities: (B,) classes of the images, as for `soft_triplet`.

    Raises:
        ValueError: There is only one class, or a class occurs only once.
    """
    return _batch_hard(PATCH_SCALE * relaxed_transport(cls, patches), identities)


def relaxed_transport(cls: Tensor, patches: Tensor) -> Tensor:
    """Compute a lower bound of the transport distance (Eq. 5) between all pairs of images, without a solver.

    Every patch moves to the nearest patch of the other image, whatever weight that one has (the relaxed word mover's
    distance of Kusner et al. 2015). The weights are the marginals of the released code. If no patch of an image agrees
    with the other one, the distance is 1, because the released similarity is 0 then. Both directions are averaged.

    Args:
        cls: (B, C) `[cls]` tokens of the images.
        patches: (B, N, C) patch tokens of the images.

    Returns:
        (B, B) distances in [0, 2].
    """
    images, count, channels = patches.shape
    unit = F.normalize(at_least_float32(patches), dim=2).reshape(-1, channels)
    tokens = F.normalize(at_least_float32(cls), dim=1)
    nearest = (unit @ unit.T).view(images, count, images, count).amax(dim=3)  # Shape (B, N, B).
    weight = (unit @ tokens.T).view(images, count, images).clamp_min(0.0)
    total = weight.sum(dim=1)
    distance = (weight * (1.0 - nearest)).sum(dim=1) / total.clamp_min(torch.finfo(weight.dtype).tiny)
    distance = torch.where(total > 0, distance, 1.0)
    return (distance + distance.T) / 2


def _batch_hard(distance: Tensor, identities: Tensor) -> Tensor:
    same = identities[:, None] == identities[None, :]
    if bool((same.sum(dim=1) < 2).any()) or bool(same.all()):
        raise ValueError("a batch needs at least two identities and two images of each for the triplet loss")
    positive = distance.masked_fill(~same, -torch.inf).amax(dim=1)
    negative = distance.masked_fill(same, torch.inf).amin(dim=1)
    return F.softplus(positive - negative).mean()


def identity_and_triplet(logits: Tensor, features: Tensor, identities: Tensor) -> Tensor:
    """Compute L_ID + L_T, the sum of identity and triplet loss, for the encoder or the decoder.

    Args:
        logits: (B, identities) output of the classifier.
        features: (B, C) features before the BNNeck.
        identities: (B,) classes of the images.
    """
    return F.cross_entropy(logits.to(torch.promote_types(logits.dtype, torch.float32)), identities) + soft_triplet(
        features, identities
    )


def guidance(stages: Sequence[DropStage], person: Tensor) -> Tensor:
    """Compute the cross-entropy between the visible person and the `[cls]` attention, averaged over dropping blocks.

    This loss is not in the paper, whose encoder starts from ImageNet weights that already attend to objects. The loss
    of an image is 0 at a block where no visible patch of the person is left.

    Args:
        stages: Stages of the dropping blocks.
        person: (B, N) share of every patch of the full grid that shows the person.
    """
    losses = []
    for stage in stages:
        share = person.gather(1, stage.entered)
        target = share / share.sum(dim=1, keepdim=True).clamp_min(torch.finfo(share.dtype).tiny)
        attention = stage.attention / stage.attention.sum(dim=1, keepdim=True)
        losses.append(-(target * attention.clamp_min(1e-12).log()).sum(dim=1).mean())
    return torch.stack(losses).mean()


def at_least_float32(values: Tensor) -> Tensor:
    """Convert half precision, which is too coarse for a loss, to float32; float64 is not changed."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
