"""Losses of Eq. 3 and 14: identity cross-entropy and batch-hard triplet with a soft margin; and one of our own, which
draws the `[cls]` attention to the person where true masks say where that is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from fpc_core.results import DropStage


def soft_triplet(features: Tensor, identities: Tensor) -> Tensor:
    """Batch-hard triplet loss with a soft margin (Hermans et al. 2017): log(1 + exp(d_ap - d_an)), a mean over anchors.

    features: (B, C) before the BNNeck, identities: (B,). Every identity must occur twice and two must be present.
    """
    features = at_least_float32(features)
    distance = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    same = identities[:, None] == identities[None, :]
    if bool((same.sum(dim=1) < 2).any()) or bool(same.all()):
        raise ValueError("a triplet needs two images of every identity and two identities in a batch")
    positive = distance.masked_fill(~same, -torch.inf).amax(dim=1)
    negative = distance.masked_fill(same, torch.inf).amin(dim=1)
    return F.softplus(positive - negative).mean()


def identity_and_triplet(logits: Tensor, features: Tensor, identities: Tensor) -> Tensor:
    """L_ID + L_T of one branch. logits: (B, identities); features: (B, C) before the BNNeck."""
    return F.cross_entropy(logits.to(torch.promote_types(logits.dtype, torch.float32)), identities) + soft_triplet(
        features, identities
    )


def guidance(stages: Sequence[DropStage], person: Tensor) -> Tensor:
    """Cross-entropy of the `[cls]` attention to the patches against the visible person, mean over dropping blocks.

    Not in the paper, whose encoder starts from ImageNet weights that look at objects already. person: (B, N) share of
    every patch that shows the person, N patches of the full grid. An image whose person is nowhere to be seen at a
    block counts 0 there.
    """
    losses = []
    for stage in stages:
        share = person.gather(1, stage.entered)
        target = share / share.sum(dim=1, keepdim=True).clamp_min(torch.finfo(share.dtype).tiny)
        attention = stage.attention / stage.attention.sum(dim=1, keepdim=True)
        losses.append(-(target * attention.clamp_min(1e-12).log()).sum(dim=1).mean())
    return torch.stack(losses).mean()


def at_least_float32(values: Tensor) -> Tensor:
    """Half precision is too coarse for a loss; float64 stays, for gradient checks."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
