"""A small U-Net."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from molrecon.errors import InputError
from molrecon.networks.base import Network
from molrecon.networks.bounds import LAYERS, Layer, chain_bound, layer_bound
from molrecon.networks.layers import Convolution

POOLS = {2: nn.functional.max_pool2d, 3: nn.functional.max_pool3d}


class UNet(Network):
    """Encoder and decoder with skip connections (Ronneberger et al. 2015), in 2D and 3D.

    What it computes is added to the image (Jin et al. 2017), so a new network is the identity.
    Images of any size are extended at their far ends, by repeating the border, to a multiple of
    ``2**poolings``, and cut back.

    Parameters
    ----------
    ndim, channels, kernel_size, noise_conditioned
        As in `CNN`.
    features
        Channels of the first level; they double with every pooling.
    poolings
        Number of times the resolution is halved.

    Raises
    ------
    InputError
        If an argument is out of range.
    """

    def __init__(
        self,
        *,
        ndim: int = 2,
        channels: int = 2,
        features: int = 32,
        poolings: int = 2,
        kernel_size: int = 3,
        noise_conditioned: bool = True,
    ) -> None:
        super().__init__()
        if features < 1 or poolings < 1:
            raise InputError(f"features is {features} and poolings {poolings}, expected at least 1")
        self.ndim, self.channels, self.noise_conditioned = ndim, channels, noise_conditioned
        self.poolings = poolings

        def block(channels_in: int, channels_out: int) -> _Block:
            return _Block(
                channels_in,
                channels_out,
                ndim=ndim,
                kernel_size=kernel_size,
                noise_conditioned=noise_conditioned,
            )

        widths = [features * 2**level for level in range(poolings + 1)]
        self.down = nn.ModuleList(
            block(a, b) for a, b in zip([channels, *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(
            block(widths[level] + widths[level + 1], widths[level])
            for level in reversed(range(poolings))
        )
        self.last = Convolution(features, channels, ndim=ndim, kernel_size=1)
        nn.init.zeros_(self.last.weight)

    def apply_channels(self, x: Tensor, code: Tensor | None) -> Tensor:
        """Extend, encode, decode, cut back, add to the image."""
        spatial = x.shape[2:]
        multiple = 2**self.poolings
        padding = [p for n in reversed(spatial) for p in (0, -n % multiple)]
        h = nn.functional.pad(x, padding, mode="replicate")
        first, *deeper = self.down
        h = self.layer(first, h, code)
        skips = []
        for block in deeper:
            skips.append(h)
            h = self.layer(block, POOLS[self.ndim](h, 2), code)
        for block in self.up:
            h = nn.functional.interpolate(h, scale_factor=2.0, mode="nearest")
            h = self.layer(block, torch.cat([skips.pop(), h], dim=1), code)
        out: Tensor = self.last(h)
        inside: Any = (Ellipsis, *(slice(n) for n in spatial))
        return x + out[inside]

    def composed_bound(self) -> float:
        """Bound over its levels, plus 1 for the image itself.

        Repeating the last pixel up to k − 1 times has norm √k along each axis, the maximum over
        windows that do not overlap at most 1, repeating every pixel 2ⁿ times √2ⁿ in n axes.
        """
        axis_root = self.ndim / 2
        bound = 2 ** (self.poolings * axis_root)
        skips = [bound := bound * layer_bound(block) for block in self.down]
        skips.pop()
        for block in self.up:
            bound = math.hypot(skips.pop(), 2**axis_root * bound) * layer_bound(block)
        return 1 + bound * layer_bound(self.last)


class _Block(nn.Module):
    """Two convolutions, each with a ReLU."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        ndim: int,
        kernel_size: int,
        noise_conditioned: bool,
    ) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            Convolution(
                width,
                channels_out,
                ndim=ndim,
                kernel_size=kernel_size,
                noise_conditioned=noise_conditioned,
            )
            for width in (channels_in, channels_out)
        )

    def forward(self, x: Tensor, code: Tensor | None) -> Tensor:
        for layer in self.convolutions:
            x = torch.relu(layer(x, code))
        return x


LAYERS[_Block] = Layer(lambda block: chain_bound(block.convolutions))
