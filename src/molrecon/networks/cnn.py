"""The paper's convolutional network."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from molrecon.errors import InputError
from molrecon.networks.base import Network
from molrecon.networks.bounds import chain_bound
from molrecon.networks.layers import START_OFFSET, Convolution, layers_of

START_GAIN = 0.9
"""Gain of a new network: a little below the bound that training will keep."""


class CNN(Network):
    """Plain chain of convolutions with ReLU between them (the paper's H: 5 layers, 64 features).

    With the default arguments and no noise conditioning it has the 113 154 weights of the
    published network (Pramanik, Zimmerman, Jacob, IEEE TCI 2023).

    Parameters
    ----------
    ndim
        Spatial axes, 2 or 3.
    channels
        Real image channels, 2 for complex images.
    features
        Channels of the hidden layers.
    layers
        Number of convolutions, at least 2.
    kernel_size
        Odd width of the kernels.
    noise_conditioned
        Whether the biases depend on the noise level.
    residual
        Whether the image is added to what the chain computes, ``x + N(x)``, as in unrolled methods
        (MoDL, Aggarwal et al. 2019); a new network is then the identity.

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
        features: int = 64,
        layers: int = 5,
        kernel_size: int = 3,
        noise_conditioned: bool = True,
        residual: bool = False,
    ) -> None:
        super().__init__()
        if layers < 2 or features < 1:
            raise InputError(
                f"layers is {layers} and features {features}, expected at least 2 and 1"
            )
        self.ndim, self.channels, self.noise_conditioned = ndim, channels, noise_conditioned
        widths = [channels, *[features] * (layers - 1), channels]
        self.convolutions = nn.ModuleList(
            Convolution(
                a, b, ndim=ndim, kernel_size=kernel_size, noise_conditioned=noise_conditioned
            )
            for a, b in pairwise(widths)
        )
        self.residual = residual
        if residual:
            nn.init.zeros_(layers_of(self.convolutions)[-1].weight)
        elif features >= channels:
            self._start_near_identity()

    def apply_channels(self, x: Tensor, code: Tensor | None) -> Tensor:
        """Apply the chain to real channels."""
        h = x
        for layer in layers_of(self.convolutions)[:-1]:
            h = self.layer(layer.rectified, h, code)
        out: Tensor = self.convolutions[-1](h, code)
        return x + out if self.residual else out

    @property
    def halo(self) -> int:
        """The paddings of all convolutions."""
        return sum(max(layer.radii) for layer in layers_of(self.convolutions))

    def composed_bound(self) -> float:
        """Product of the norms of the convolutions, plus 1 for the image itself."""
        return chain_bound(self.convolutions) + self.residual

    @torch.no_grad()
    def _start_near_identity(self) -> None:
        """Pass the image through its own channels, lifted into the linear range of the ReLU.

        A chain without skip connections would otherwise spend its training learning the
        identity, and would meet the Lipschitz constraint from above.
        """
        first, *middle, last = layers_of(self.convolutions)
        image = slice(self.channels)
        for layer in (first, *middle):
            layer.weight[image] = nn.init.dirac_(torch.empty_like(layer.weight))[image]
        first.bias[image] += START_OFFSET
        last.weight.copy_(START_GAIN * nn.init.dirac_(torch.empty_like(last.weight)))
        last.bias[image] -= START_GAIN * START_OFFSET
