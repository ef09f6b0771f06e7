"""Attribute a target to the input tokens of a transformer block whose only used output is `[cls]`.

These blocks are the decoder and the last block of the encoder. A pruned query and the grids of K neighbours do not form
one image, so the tokens are passed to the grad-cam library as an image that is one pixel high; none of its methods used
here mixes neighbouring pixels. The library clips maps at 0 and scales them to [0, 1]. This module skips that step, so
that values keep their sign and unit and can be summed. `PatchMap.scaled` clips and scales all grids together.
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

_LIBRARY = {  # Class names in pytorch_grad_cam, which must be imported after `runtime.torchvision_ops`.
    MapMethod.GRAD_CAM: "GradCAM",
    MapMethod.GRAD_CAM_PLUS_PLUS: "GradCAMPlusPlus",
    MapMethod.HIRES_CAM: "HiResCAM",
    MapMethod.LAYER_CAM: "LayerCAM",
}


def relevance(block: Any, head: nn.Module, tokens: Tensor, target: Target, method: MapMethod) -> np.ndarray:
    """Return one signed value for every token except `[cls]`, (T - 1,) float32.

    The unit is that of the target for HIRES_CAM and LEFT_OUT, and arbitrary otherwise. No hooks are registered on the
    given modules.

    Args:
        block: A timm Block in eval mode.
        head: Module that maps (B, C) `[cls]` rows to (B, C) features.
        tokens: (T, C) input tokens of the block, `[cls]` first.
        target: Function to explain; used by the methods in `heatmap_methods.TARGETED` only.
        method: How values are computed.
    """
    with torch.inference_mode(False), torch.no_grad():
        tokens = tokens.clone()  # Autograd cannot use the inference tensors of a search.
        if method is MapMethod.ATTENTION:
            values = cls_row(block, tokens.unsqueeze(0))[1][0].mean(dim=0)[1:]
        elif method is MapMethod.VALUE_NORM:
            values = value_parts(block, tokens).norm(dim=1)[1:]
        elif method is MapMethod.LEFT_OUT:
            values = _left_out(block, head, tokens, target)
        elif method is MapMethod.EIGEN_CAM:
            image = _as_row(block.norm1(tokens).unsqueeze(0)).cpu().numpy()
            from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection_with_sign_correction

            # The function corrects the sign, because that of a singular vector is arbitrary.
            return get_2d_projection_with_sign_correction(image).ravel()
        else:
            return _by_gradient(block, head, tokens, target, method)
        return values.float().cpu().numpy()


def value_parts(block: Any, tokens: Tensor) -> Tensor:
    """Return the contribution of every token to the attention output of `[cls]`, (T, C) (Kobayashi et al. 2020).

    Row n is sum_h a_hn (W_v^h LN(x_n) + b_v^h) W_o^h with the attention a of head h. The rows and b_o sum to the
    attention output.

    Args:
        block: A timm Block in eval mode.
        tokens: (T, C) input tokens of the block, `[cls]` first.
    """
    attn = block.attn
    attention = cls_row(block, tokens.unsqueeze(0))[1][0]  # Shape (heads, T).
    values = linear(block.norm1(tokens), attn.qkv.weight.chunk(3)[2], attn.qkv.bias.chunk(3)[2])
    weighted = values.unflatten(1, (attn.num_heads, attn.head_dim)) * attention.T.unsqueeze(-1)
    return linear(weighted.flatten(1), attn.proj.weight)


def _left_out(block: Any, head: nn.Module, tokens: Tensor, target: Target) -> Tensor:
    """Return target(all tokens) - target(all tokens except n) for n = 1 .. T - 1, in float64.

    float32 is not precise enough, because one patch among thousands changes the target only slightly. The arguments are
    those of `relevance`.
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
    # Grad-CAM++ adds an absolute 1e-6 to a sum of squared and cubed gradients, which are far smaller for thousands of
    # tokens. Gradients are therefore scaled so that the largest is at least 2^20; this constant is then below 1e-18 of
    # its square. Scaling by a power of two does not change the results of the other methods.
    unit = 2.0 ** (np.floor(np.log2(np.abs(gradients).max())) - 20) if gradients.any() else 1.0
    return cam.get_cam_image(None, None, None, values * unit, gradients / unit, False).ravel()


class _ClsRow(nn.Module):
    """Copy of block and head for tokens (1, T, C), because the library would hook modules that other threads use."""

    def __init__(self, block: Any, head: nn.Module) -> None:
        super().__init__()
        self.block = deepcopy(block).requires_grad_(True).eval()
        self.head = deepcopy(head).eval()

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(cls_row(self.block, tokens)[0])


def _as_row(tokens: Tensor) -> Tensor:
    """Reshape (1, T, C) with `[cls]` first to (1, C, 1, T - 1)."""
    return tokens[:, 1:].transpose(1, 2).unsqueeze(2)
