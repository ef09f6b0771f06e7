"""The convolution that embeds patches, and the convolutional stem of TransReID-SSL before it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fpc_core.config import STEM_CHANNELS


def conv_rows(conv: nn.Conv2d, images: Tensor) -> Tensor:
    """Apply a convolution and return its map in row-major order.

    The CPU uses a convolution, which is faster there. Other devices use a matrix product, which is computed in float32,
    whereas cuDNN computes float32 convolutions in TF32 (11 bits) unless a process-wide switch forbids it.

    Args:
        conv: Convolution with or without a bias.
        images: (B, channels, H, W) images or maps.

    Returns:
        (B, rows * columns, C) outputs.
    """
    if images.device.type == "cpu":
        return conv(images).flatten(2).transpose(1, 2)
    padding = tuple(map(int, conv.padding))
    pixels = F.unfold(images, conv.kernel_size, padding=padding, stride=conv.stride).transpose(1, 2)
    return F.linear(pixels, conv.weight.flatten(1), conv.bias)


class IcsStem(nn.Sequential):
    """IBN-based convolution stem (ICS) of TransReID-SSL (Luo et al. 2021).

    It maps (B, 3, H, W) images to (B, 64, H / 2, W / 2) maps.
    """

    def __init__(self) -> None:
        channels = STEM_CHANNELS
        super().__init__(
            _Conv(3, channels, 7, stride=2, padding=3, bias=False),
            _Ibn(channels),
            nn.ReLU(),
            _Conv(channels, channels, 3, padding=1, bias=False),
            _Ibn(channels),
            nn.ReLU(),
            _Conv(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        )


class _Conv(nn.Conv2d):
    """A convolution that is computed in float32 on every device."""

    def forward(self, images: Tensor) -> Tensor:
        if images.device.type == "cpu":
            return super().forward(images)
        # Every convolution of the stem is padded by half its kernel, so that only the stride reduces the height.
        height = (images.shape[2] - 1) // self.stride[0] + 1
        return conv_rows(self, images).transpose(1, 2).unflatten(2, (height, -1))


class _Ibn(nn.Module):
    """Instance normalisation of the first half of the channels, and batch normalisation of the other half."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.instance = nn.InstanceNorm2d(channels // 2, affine=True)
        self.batch = nn.BatchNorm2d(channels - channels // 2)

    def forward(self, maps: Tensor) -> Tensor:
        first, second = maps.tensor_split([self.instance.num_features], dim=1)
        return torch.cat((self.instance(first), self.batch(second)), dim=1)
