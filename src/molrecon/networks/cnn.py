"""The paper's convolutional network."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from molrecon.networks.base import Network
from molrecon.networks.bounds import chain_bound
from molrecon.networks.layers import START_OFFSET, Convolution, layers_of
from molrecon.networks.settings import ConvolutionalSettings, Width

START_GAIN = 0.9
"""Gain of a new network: a little below the bound that training will keep."""


class ChainSettings(ConvolutionalSettings):
    """Settings of a plain chain of convolutions."""

    features: Width = 64
    layers: int = Field(5, ge=2, le=1000)  # number of convolutions, at least 2


class CNNSettings(ChainSettings):
    """Settings of a `CNN`."""

    kind: Literal["cnn"] = "cnn"
    # Whether the image is added to what the chain computes, ``x + N(x)``, as in unrolled methods
    # (MoDL, Aggarwal et al. 2019); a new network is then the identity.
    residual: bool = False


class CNN(Network):
    """Plain chain of convolutions with ReLU between them (the paper's H: 5 layers, 64 features).

    With the default settings and no noise conditioning it has the 113 154 weights of the published
    network (Pramanik, Zimmerman, Jacob, IEEE TCI 2023).

    Parameters
    ----------
    **settings
        ``ndim`` (spatial axes, 2 or 3), ``channels`` (real channels of the images, 2 for complex
        ones), ``features`` (channels of the hidden layers), ``layers`` (number of convolutions, at
        least 2), ``kernel_size`` (odd width of the kernels in pixels), ``noise_conditioned``
        (whether the biases depend on the noise level) and ``residual`` (whether the image is added
        to what the chain computes); see `CNNSettings`.

    Raises
    ------
    InputError
        If a setting is unknown, of another type or out of range.

    Examples
    --------
    >>> import torch
    >>> from molrecon import CNN
    >>> network = CNN(features=8, layers=3, residual=True)
    >>> x = torch.randn(1, 1, 16, 12, dtype=torch.complex64)
    >>> bool(torch.equal(network(x, sigma=torch.tensor([0.05])), x))  # new: the identity
    True
    """

    Settings: ClassVar[type[ChainSettings]] = CNNSettings
    settings: ChainSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        chosen = self.settings
        self.residual = isinstance(chosen, CNNSettings) and chosen.residual
        widths = [self.channels, *[chosen.features] * (chosen.layers - 1), self.channels]
        self.convolutions = nn.ModuleList(
            Convolution(
                a,
                b,
                ndim=self.ndim,
                kernel_size=chosen.kernel_size,
                noise_conditioned=self.noise_conditioned,
            )
            for a, b in pairwise(widths)
        )
        self.start()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw new weights, such that the network starts at the identity or close to it."""
        super().reset_parameters()
        if self.residual:
            nn.init.zeros_(layers_of(self.convolutions)[-1].weight)
        elif self.settings.features >= self.channels:
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
