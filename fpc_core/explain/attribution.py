"""What every patch token does to a target through one transformer block of which only the `[cls]` row is read.

Two blocks are read that way: the decoder, and the last block of the encoder. A pruned query and the grids of K
neighbours form no picture, so the grad-cam library is shown the tokens as an image one pixel high; none of its methods
used here looks at the pixels beside a pixel. Its own call clips at 0 and stretches to [0, 1]. The map is taken before
that: it keeps sign and unit, so that sums can be checked, and `PatchMap.scaled` clips it once for all grids.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from fpc_core.config import MapMethod
from fpc_core.explain.heatmap_targets import Target
from fpc_core.model.decoder import cls_row, cls_rows_without

_LIBRARY = {  # classes of pytorch_grad_cam, imported late: it needs torchvision's operators declared
    MapMethod.GRAD_CAM: "GradCAM",
    MapMethod.GRAD_CAM_PLUS_PLUS: "GradCAMPlusPlus",
    MapMethod.HIRES_CAM: "HiResCAM",
    MapMethod.LAYER_CAM: "LayerCAM",
}


def relevance(block: Any, head: nn.Module, tokens: Tensor, target: Target, method: MapMethod) -> np.ndarray:
    """(T - 1,) float32, one signed value for every token but `[cls]`. Hooks nothing of what it is given.

    block: a timm Block in eval mode.  head: (B, C) `[cls]` rows -> (B, C) features.  tokens: (T, C), `[cls]` first.
    target: asked by the methods of `methods.TARGETED` only.
    Unit: the target's for HIRES_CAM and LEFT_OUT, else arbitrary.
    """
    with torch.inference_mode(False), torch.no_grad():
        tokens = tokens.clone()  # those of a search belong to inference mode
        if method is MapMethod.ATTENTION:
            values = cls_row(block, tokens.unsqueeze(0))[1][0].mean(dim=0)[1:]
        elif method is MapMethod.VALUE_NORM:
            values = value_parts(block, tokens).norm(dim=1)[1:]
        elif method is MapMethod.LEFT_OUT:
            values = _left_out(block, head, tokens, target)
        elif method is MapMethod.EIGEN_CAM:
            image = _as_row(block.norm1(tokens).unsqueeze(0)).cpu().numpy()
            from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection_with_sign_correction

            return get_2d_projection_with_sign_correction(image).ravel()  # a singular vector has no sign of its own
        else:
            return _by_gradient(block, head, tokens, target, method)
        return values.float().cpu().numpy()


def value_parts(block: Any, tokens: Tensor) -> Tensor:
    """What every token adds to the attention output of `[cls]` (Kobayashi et al. 2020): (T, C) -> (T, C).

    Row n is sum_h a_hn (W_v^h LN(x_n) + b_v^h) W_o^h, a the attention of head h; with b_o the rows sum to that output.
    """
    attn = block.attn
    attention = cls_row(block, tokens.unsqueeze(0))[1][0]  # (heads, T)
    values = linear(block.norm1(tokens), attn.qkv.weight.chunk(3)[2], attn.qkv.bias.chunk(3)[2])
    weighted = values.unflatten(1, (attn.num_heads, attn.head_dim)) * attention.T.unsqueeze(-1)
    return linear(weighted.flatten(1), attn.proj.weight)


def _left_out(block: Any, head: nn.Module, tokens: Tensor, target: Target) -> Tensor:
    """target(all) - target(all but token n), for n = 1 .. T - 1, in float64: one patch of thousands changes little."""
    block, head, tokens = deepcopy(block).double(), deepcopy(head).double(), tokens.double()
    whole, rest = cls_row(block, tokens.unsqueeze(0))[0], cls_rows_without(block, tokens)
    return target(head(whole)) - target(head(rest))


def _by_gradient(block: Any, head: nn.Module, tokens: Tensor, target: Target, method: MapMethod) -> np.ndarray:
    import pytorch_grad_cam

    with torch.enable_grad():
        explained = _ClsRow(block, head)
        cam = getattr(pytorch_grad_cam, _LIBRARY[method])(explained, [explained.block.norm1], reshape_transform=_as_row)
        held = cam.activations_and_grads
        target(held(tokens.unsqueeze(0))[0]).backward()
    values, gradients = held.activations[0].numpy(), held.gradients[0].numpy()
    # Grad-CAM++ guards a division with an absolute 1e-6, far above the squared gradients of thousands of tokens. With
    # the tokens in units in which gradients reach 1 it is negligible; a power of two changes no bit of other maps.
    unit = 2.0 ** np.floor(np.log2(np.abs(gradients).max())) if gradients.any() else 1.0
    return cam.get_cam_image(None, None, None, values * unit, gradients / unit, False).ravel()


class _ClsRow(nn.Module):
    """A copy of block and head on tokens (1, T, C): the library hooks it, and other threads use the model."""

    def __init__(self, block: Any, head: nn.Module) -> None:
        super().__init__()
        self.block = deepcopy(block).requires_grad_(True).eval()
        self.head = deepcopy(head).eval()

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(cls_row(self.block, tokens)[0])


def _as_row(tokens: Tensor) -> Tensor:
    """(1, T, C), `[cls]` first -> (1, C, 1, T - 1)."""
    return tokens[:, 1:].transpose(1, 2).unsqueeze(2)
