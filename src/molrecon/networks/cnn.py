"""The paper's convolutional network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from molrecon.networks.base import Network
from molrecon.networks.layers import Convolution


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
    ) -> None:
        super().__init__()
        self.ndim, self.channels, self.noise_conditioned = ndim, channels, noise_conditioned
        widths = [channels, *[features] * (layers - 1), channels]
        self.convolutions = nn.ModuleList(
            Convolution(
                a, b, ndim=ndim, kernel_size=kernel_size, noise_conditioned=noise_conditioned
            )
            for a, b in zip(widths[:-1], widths[1:], strict=True)
        )

    def apply_channels(self, x: Tensor, code: Tensor | None) -> Tensor:
        """Apply the chain to real channels."""
        for layer in self.convolutions[:-1]:
            x = torch.relu(layer(x, code))
        out: Tensor = self.convolutions[-1](x, code)
        return out
