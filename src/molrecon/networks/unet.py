"""A small U-Net."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from molrecon.networks.base import Network
from molrecon.networks.bounds import LAYERS, LayerBound, chain_bound, layer_bound
from molrecon.networks.layers import Convolution
from molrecon.networks.settings import ConvolutionalSettings

POOLS = {2: nn.functional.max_pool2d, 3: nn.functional.max_pool3d}


class UNetSettings(ConvolutionalSettings):
    """Settings of a `UNet`."""

    kind: Literal["unet"] = "unet"
    poolings: int = Field(2, ge=1, le=12)  # number of times the resolution is halved, at least 1


class UNet(Network):
    """Encoder and decoder with skip connections (Ronneberger et al. 2015), in 2D and 3D.

    What it computes is added to the image (Jin et al. 2017), so a new network is the identity.
    Images of any size are extended at their far ends, by repeating the border, to a multiple of
    ``2**poolings``, and cut back.

    Parameters
    ----------
    **settings
        ``ndim`` (spatial axes, 2 or 3), ``channels`` (real channels of the images, 2 for complex
        ones), ``features`` (channels of the first level; they double with every pooling),
        ``poolings`` (number of times the resolution is halved), ``kernel_size`` (odd width of the
        kernels in pixels) and ``noise_conditioned`` (whether the biases depend on the noise
        level); see `UNetSettings`.

    Raises
    ------
    InputError
        If a setting is unknown, of another type or out of range.

    Examples
    --------
    >>> import torch
    >>> from molrecon import UNet
    >>> network = UNet(features=4, poolings=1, noise_conditioned=False)
    >>> network(torch.randn(1, 1, 9, 7, dtype=torch.complex64)).shape
    torch.Size([1, 1, 9, 7])
    """

    Settings = UNetSettings
    settings: UNetSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        features, self.poolings = self.settings.features, self.settings.poolings
        widths = [features * 2**level for level in range(self.poolings + 1)]
        self.down = nn.ModuleList(
            _Block(a, b, self.settings)
            for a, b in zip([self.channels, *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(
            _Block(widths[level] + widths[level + 1], widths[level], self.settings)
            for level in reversed(range(self.poolings))
        )
        self.last = Convolution(features, self.channels, ndim=self.ndim, kernel_size=1)
        self.start()

    def reset_parameters(self) -> None:
        """Draw new weights, such that the network starts as the identity."""
        super().reset_parameters()
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

    def __init__(self, channels_in: int, channels_out: int, settings: UNetSettings) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            Convolution(
                width,
                channels_out,
                ndim=settings.ndim,
                kernel_size=settings.kernel_size,
                noise_conditioned=settings.noise_conditioned,
            )
            for width in (channels_in, channels_out)
        )

    def forward(self, x: Tensor, code: Tensor | None) -> Tensor:
        for layer in self.convolutions:
            x = torch.relu(layer(x, code))
        return x


LAYERS[_Block] = LayerBound(lambda block: chain_bound(block.convolutions))
