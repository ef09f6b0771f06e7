"""Attribute a target to the input tokens of a transformer block whose only used output is `[cls]`.

These blocks are the decoder and the last block of the encoder. A pruned query and the grids of K
neighbours do not form one image, so the grad-cam library gets the tokens as an image one pixel high; none of its
methods used here mixes neighbouring pixels. It clips maps at 0 and scales them to [0, 1]. Maps are read before that
step, so that values keep their sign and unit and can be summed. `PatchMap.scaled` clips all grids together.
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
    """Return one signed value for every token but `[cls]`, (T - 1,) float32.

    The unit is that of the target for HIRES_CAM and LEFT_OUT, and arbitrary otherwise. The given modules are not
    hooked.

    Args:
        block: A timm Block in eval mode.
        head: Maps (B, C) `[cls]` rows to (B, C) features.
        tokens: (T, C), `[cls]` first.
        target: Used by the methods of `heatmap_methods.TARGETED`.
        method: How values are computed.
    """
    with torch.inference_mode(False), torch.no_grad():
        tokens = tokens.clone()  # autograd cannot use the inference tensors of a search
        if method is MapMethod.ATTENTION:
            values = cls_row(block, tokens.unsqueeze(0))[1][0].mean(dim=0)[1:]
        elif method is MapMethod.VALUE_NORM:
            values = value_parts(block, tokens).norm(dim=1)[1:]
        elif method is MapMethod.LEFT_OUT:
            values = _left_out(block, head, tokens, target)
        elif method is MapMethod.EIGEN_CAM:
            image = _as_row(block.norm1(tokens).unsqueeze(0)).cpu().numpy()
            from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection_with_sign_correction

            return get_2d_projection_with_sign_correction(image).ravel()  # the sign of a singular vector is arbitrary
        else:
            return _by_gradient(block, head, tokens, target, method)
        return values.float().cpu().numpy()


def value_parts(block: Any, tokens: Tensor) -> Tensor:
    """Return what every token adds to the attention output of `[cls]`: (T, C) -> (T, C) (Kobayashi et al. 2020).

    Row n is sum_h a_hn (W_v^h LN(x_n) + b_v^h) W_o^h with the attention a of head h. The rows and b_o sum to that
    output.
    """
    attn = block.attn
    attention = cls_row(block, tokens.unsqueeze(0))[1][0]  # (heads, T)
    values = linear(block.norm1(tokens), attn.qkv.weight.chunk(3)[2], attn.qkv.bias.chunk(3)[2])
    weighted = values.unflatten(1, (attn.num_heads, attn.head_dim)) * attention.T.unsqueeze(-1)
    return linear(weighted.flatten(1), attn.proj.weight)


def _left_out(block: Any, head: nn.Module, tokens: Tensor, target: Target) -> Tensor:
    """Return target(all) - target(all but token n) for n = 1 .. T - 1.

    In float64, because one patch of thousands changes little.
    """
    block, head, tokens = deepcopy(block).double(), deepcopy(head).double(), tokens.double()
    whole, rest = cls_row(block, tokens.unsqueeze(0))[0], cls_rows_without(block, tokens)
    return target(head(whole)) - target(head(rest))


def _by_gradient(block: Any, head: nn.Module, tokens: Tensor, target: Target, method: MapMethod) -> np.ndarray:
    import pytorch_grad_cam

    with torch.enable_grad():
        explained = _ClsRow(block, head)
        cam = getattr(pytorch_grad_cam, _LIBRARY[method])(explained, [explained.block.norm1], reshape_transform=_as_row)
        recorded = cam.activations_and_grads
        target(recorded(tokens.unsqueeze(0))[0]).backward()
    values, gradients = recorded.activations[0].numpy(), recorded.gradients[0].numpy()
    # Grad-CAM++ guards a division with an absolute 1e-6, which exceeds the squared gradients of thousands of tokens.
    # Gradients are therefore scaled to reach 1, where the guard changes a map by up to 1 % of its peak. A power of two
    # changes no bit of the other maps.
    unit = 2.0 ** np.floor(np.log2(np.abs(gradients).max())) if gradients.any() else 1.0
    return cam.get_cam_image(None, None, None, values * unit, gradients / unit, False).ravel()


class _ClsRow(nn.Module):
    """A copy of block and head for tokens (1, T, C), since the library hooks modules that other threads use."""

    def __init__(self, block: Any, head: nn.Module) -> None:
        super().__init__()
        self.block = deepcopy(block).requires_grad_(True).eval()
        self.head = deepcopy(head).eval()

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(cls_row(self.block, tokens)[0])


def _as_row(tokens: Tensor) -> Tensor:
    """Reshape (1, T, C) with `[cls]` first to (1, C, 1, T - 1)."""
    return tokens[:, 1:].transpose(1, 2).unsqueeze(2)
