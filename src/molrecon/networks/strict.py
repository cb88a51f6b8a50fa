"""Networks whose Lipschitz bound holds by construction (MOL-SN)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from molrecon.networks.base import Network
from molrecon.networks.bounds import chain_bound, steps_bound
from molrecon.networks.cnn import ChainSettings
from molrecon.networks.convolution_norm import certified_norm
from molrecon.networks.layers import START_OFFSET, SoftClip, resized, start_high_pass
from molrecon.networks.normalised import NormalisedConvolution
from molrecon.networks.settings import Depth, StrictSettings

START_NOISE = 0.03


class StrictNetwork(Network):
    """A network of normalised convolutions with ``Lip(H) ≤ lipschitz``, for every input and σ.

    Parameters
    ----------
    **settings
        Fields of `StrictSettings`, and those of the kind.
    """

    settings: StrictSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.lipschitz = self.settings.lipschitz
        self.convolutions = nn.ModuleList()

    def lipschitz_bound(self) -> float | None:
        """The proved bound; None in training mode, where the norms are estimates."""
        return None if self.training else self.lipschitz

    def _layers(self) -> list[NormalisedConvolution]:
        return [cast(NormalisedConvolution, layer) for layer in self.convolutions]

    def _convolution(self, channels_in: int, channels_out: int) -> NormalisedConvolution:
        return NormalisedConvolution(
            channels_in,
            channels_out,
            ndim=self.ndim,
            kernel_size=self.settings.kernel_size,
            noise_conditioned=self.noise_conditioned,
        )


class StrictSteps(StrictNetwork):
    """Steps `descend` between the lift of an image to ``features`` channels and its adjoint."""

    features: int
    clips: nn.ModuleList

    def apply_channels(self, x: Tensor, code: Tensor | None) -> Tensor:
        """Lift, descend, cut back."""
        z, steps = x, self.steps()
        for layer, clip in steps:
            kept = self.channels if clip is steps[-1][1] else self.features
            z = self.layer(descend, z, code, layer.normalised_weight(), layer, clip, kept)
        return self.lipschitz * z

    def composed_bound(self) -> float:
        """Gain times the product over steps, each at most 1 if its kernel is."""
        return abs(self.lipschitz) * steps_bound(self.steps())

    def steps(self) -> list[tuple[NormalisedConvolution, SoftClip]]:
        """Return the convolution and the thresholds of every step."""
        clips = [cast(SoftClip, clip) for clip in self.clips]
        return list(zip(self._layers(), clips, strict=True))


class ResidualStrictSettings(StrictSettings):
    """Settings of a `ResidualStrictCNN`."""

    kind: Literal["residual-strict"] = "residual-strict"
    layers: Depth = 5  # number of residual steps, at least 1


class ResidualStrictCNN(StrictSteps):
    r"""Residual 1-Lipschitz layers between an isometric lift and its adjoint.

    The image is lifted to ``features`` channels by appending zeros, passes ``layers`` steps
    ``z ← z − 2 Wᵀ clip(W z + b, ±τ)`` and is cut back to its own channels. With ``‖W‖ ≤ 1`` every
    step is gradient descent of step 2/L on a convex, L-smooth function (Huber of ``Wz + b``),
    L ≤ 1, and so nonexpansive (convex potential layers, Meunier et al. 2022); the identity is among
    the steps, which is why depth does not attenuate the image as it does in a chain of normalised
    layers. The result is multiplied by ``lipschitz``.

    Parameters
    ----------
    **settings
        ``ndim`` (spatial axes, 2 or 3), ``channels`` (real channels of the images, 2 for complex
        ones), ``features`` (width of the lift), ``layers`` (number of steps), ``kernel_size`` (odd
        width of the kernels in pixels), ``noise_conditioned`` (whether the noise level sets biases
        and thresholds) and ``lipschitz`` (the bound 1 − m); see `ResidualStrictSettings`.

    Raises
    ------
    InputError
        If a setting is unknown, of another type or out of range.

    Examples
    --------
    >>> from molrecon.networks import ResidualStrictCNN
    >>> network = ResidualStrictCNN(features=8, layers=2, lipschitz=0.9).eval()
    >>> network.lipschitz_bound()
    0.9
    """

    Settings = ResidualStrictSettings
    settings: ResidualStrictSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.features = self.settings.features
        for _ in range(self.settings.layers):
            self.convolutions.append(self._convolution(self.features, self.features))
        self.clips = nn.ModuleList(
            SoftClip(self.features, noise_conditioned=self.noise_conditioned)
            for _ in self.convolutions
        )
        self.start()

    def reset_parameters(self) -> None:
        """Draw new weights: filters that ignore constant images, of norm 1."""
        super().reset_parameters()
        for layer in self._layers():
            start_high_pass(layer.weight)

    @property
    def halo(self) -> int:
        """The paddings of all convolutions, each applied twice."""
        return 2 * sum(max(layer.radii) for layer in self._layers())


def descend(
    z: Tensor,
    code: Tensor | None,
    weight: Tensor,
    layer: NormalisedConvolution,
    clip: nn.Module,
    kept: int,
) -> Tensor:
    """Take one nonexpansive step, see `ResidualStrictCNN`; return its first ``kept`` channels.

    Channels that z lacks are zeros: neither they nor those that are cut off are computed with.
    """
    # In place: new memory costs as much as a third of a product.
    return step_change(z, code, weight, layer, clip, kept).add_(resized(z, kept))


def step_change(
    z: Tensor,
    code: Tensor | None,
    weight: Tensor,
    layer: NormalisedConvolution,
    clip: nn.Module,
    kept: int | None = None,
) -> Tensor:
    """Return ``−2 Wᵀ clip(W z + b, ±τ)``, its first ``kept`` channels, or all; z may lack some."""
    seen = layer(z, code, weight[:, : z.shape[1]])
    return layer.transposed(clip(seen, code), -2 * weight[:, :kept])


class SpectralSettings(ChainSettings, StrictSettings):
    """Settings of a `SpectralCNN`."""

    kind: Literal["spectral"] = "spectral"


class SpectralCNN(StrictNetwork):
    """The paper's chain with every convolution normalised, ReLU between them (MOL-SN as published).

    Kept for comparison: a chain of normalised layers attenuates the image, see
    `ResidualStrictCNN`. It starts near the identity: the kernels pass the image's channels on, and
    a bias keeps them in the linear range of the ReLU.

    Parameters
    ----------
    **settings
        ``ndim`` (spatial axes, 2 or 3), ``channels`` (real channels of the images, 2 for complex
        ones), ``features`` (channels of the hidden layers, at least those of the image),
        ``layers`` (number of convolutions, at least 2), ``kernel_size`` (odd width of the kernels
        in pixels), ``noise_conditioned`` (whether the noise level sets the biases) and
        ``lipschitz`` (the bound 1 − m); see `SpectralSettings`.

    Raises
    ------
    InputError
        If a setting is unknown, of another type or out of range.

    Examples
    --------
    >>> from molrecon import SpectralCNN
    >>> network = SpectralCNN(features=8, layers=3, lipschitz=0.9).eval()
    >>> network.lipschitz_bound() <= 0.9
    True
    """

    Settings = SpectralSettings
    settings: SpectralSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        hidden = [self.settings.features] * (self.settings.layers - 1)
        for a, b in pairwise([self.channels, *hidden, self.channels]):
            self.convolutions.append(self._convolution(a, b))
        self.start()

    def apply_channels(self, x: Tensor, code: Tensor | None) -> Tensor:
        """Apply the chain."""
        *hidden, last = self._layers()
        for layer in hidden:
            x = self.layer(layer.rectified, x, code, layer.normalised_weight())
        out: Tensor = last(x, code)
        return self.lipschitz * out

    @property
    def halo(self) -> int:
        """The paddings of all convolutions."""
        return sum(max(layer.radii) for layer in self._layers())

    def composed_bound(self) -> float:
        """Gain times the product of the norms of the convolutions."""
        return abs(self.lipschitz) * chain_bound(self.convolutions)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw new weights, such that the network starts near the identity."""
        super().reset_parameters()
        for layer in self._layers():
            noise = torch.randn_like(layer.weight)
            noise *= START_NOISE / certified_norm(noise)
            nn.init.dirac_(layer.weight).add_(noise)
        self._layers()[0].bias[: self.channels] += START_OFFSET
        # Far from the border, the image zero is mapped to zero.
        extent = [2 * len(self.convolutions) + 1] * self.ndim
        code = torch.zeros(1) if self.noise_conditioned else None
        self.lipschitz, bound = 1.0, self.lipschitz
        zero = self.eval().apply_channels(torch.zeros(1, self.channels, *extent), code)
        self.train().lipschitz = bound
        centre = zero.flatten(2)[0, :, zero[0, 0].numel() // 2]
        self._layers()[-1].bias.sub_(centre)
