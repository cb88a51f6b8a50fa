"""The paper's chain with every kernel normalised as a matrix, as it is commonly done."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from molrecon.networks.cnn import CNN, ChainSettings
from molrecon.networks.convolution_norm import certified_norm
from molrecon.networks.layers import layers_of


class KernelNormalisedSettings(ChainSettings):
    """Settings of a `KernelNormalisedCNN`: a kernel of zeros, as of a residual, has no norm 1."""

    kind: Literal["kernel-normalised"] = "kernel-normalised"


class KernelNormalisedCNN(CNN):
    """`CNN` with every kernel divided by the largest singular value of its reshaped matrix.

    This is the spectral normalisation of Miyato et al. (ICLR 2018), which DE-GRAD was published
    with (Gilton, Ongie, Willett 2021). The matrix ``channels_out × (channels_in · kernel)`` is not
    the convolution: the convolutions' own norms are up to the root of the number of kernel
    elements larger, typically 1.6 to 2.4, so there is no bound on the network below one; for a
    proved one see `SpectralCNN`. The singular value is computed exactly, where power iterations
    would change the map from one application to the next.

    Parameters
    ----------
    **settings
        ``ndim``, ``channels``, ``features``, ``layers``, ``kernel_size`` and
        ``noise_conditioned``, see `KernelNormalisedSettings`.

    Raises
    ------
    InputError
        If a setting is unknown, of another type or out of range.

    Examples
    --------
    >>> import torch
    >>> from molrecon import KernelNormalisedCNN
    >>> network = KernelNormalisedCNN(features=8, layers=3)
    >>> network(torch.randn(1, 1, 9, 7, dtype=torch.complex64), torch.tensor([0.05])).shape
    torch.Size([1, 1, 9, 7])
    """

    Settings = KernelNormalisedSettings
    settings: KernelNormalisedSettings

    def apply_channels(self, x: Tensor, code: Tensor | None) -> Tensor:
        """Apply the chain to real channels."""
        *hidden, last = layers_of(self.convolutions)
        for layer in hidden:
            x = self.layer(layer.rectified, x, code, normalised(layer.weight))
        out: Tensor = last(x, code, normalised(last.weight))
        return out

    def composed_bound(self) -> float:
        """Product of the norms of the convolutions with their normalised kernels."""
        layers = layers_of(self.convolutions)
        return math.prod(certified_norm(normalised(layer.weight)) for layer in layers)


def normalised(kernel: Tensor) -> Tensor:
    """Return a kernel ``(channels_out, channels_in, *kernel)``, its reshaped matrix of norm 1."""
    matrix = kernel.flatten(1)
    with torch.autocast(matrix.device.type, enabled=False):
        square: Tensor = torch.linalg.eigvalsh(matrix @ matrix.mT)[-1]
    return kernel / square.sqrt()
