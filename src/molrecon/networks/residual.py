"""Residual network without a built-in bound (MOL-LR)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from molrecon.errors import InputError
from molrecon.networks.base import Network
from molrecon.networks.bounds import check_clip, layer_bound, step_bound
from molrecon.networks.convolution_norm import certified_norm
from molrecon.networks.inflation import inflated, inflated_state
from molrecon.networks.layers import (
    Convolution,
    SoftClip,
    layers_of,
    lift,
    start_high_pass,
    transposed,
)
from molrecon.networks.strict import ResidualStrictCNN


class ResidualCNN(Network):
    """`ResidualStrictCNN` with its bound taken off: ``z ← z + V clip(W z + b, ±τ)``, V and W free.

    It starts nonexpansive, with ``V = −2Wᵀ`` and ``‖W‖ ≤ 1``, and is kept monotone by the
    Lipschitz constraint of the training, at the images it sees. With skip connections the identity
    costs nothing, and it learns several times faster than the paper's `CNN`.

    Parameters
    ----------
    ndim, channels, kernel_size, noise_conditioned
        As in `CNN`.
    features
        Width of the lift.
    layers
        Residual steps.
    gain
        Factor of the whole network at the start; learned.
    """

    def __init__(
        self,
        *,
        ndim: int = 2,
        channels: int = 2,
        features: int = 32,
        layers: int = 5,
        kernel_size: int = 3,
        noise_conditioned: bool = True,
        gain: float = 0.98,
    ) -> None:
        super().__init__()
        if features < channels:
            raise InputError(f"features is {features}, expected at least channels = {channels}")
        self.ndim, self.channels, self.noise_conditioned = ndim, channels, noise_conditioned
        self.features = features

        def convolution(conditioned: bool) -> Convolution:
            return Convolution(
                features,
                features,
                ndim=ndim,
                kernel_size=kernel_size,
                noise_conditioned=conditioned,
            )

        self.inner = nn.ModuleList(convolution(noise_conditioned) for _ in range(layers))
        self.outer = nn.ModuleList(convolution(False) for _ in range(layers))
        self.clips = nn.ModuleList(
            SoftClip(features, noise_conditioned=noise_conditioned) for _ in range(layers)
        )
        self.log_gain = nn.Parameter(torch.tensor(gain).log())
        for layer in layers_of(self.inner):
            start_high_pass(layer.weight)
        self._tie()

    def apply_channels(self, x: Tensor, code: Tensor | None) -> Tensor:
        """Lift, add the residuals, cut back."""
        z = lift(x, self.features)
        for inner, outer, clip in zip(
            layers_of(self.inner), layers_of(self.outer), self.clips, strict=True
        ):
            z = self.layer(_step, z, code, inner, outer, clip)
        return self.log_gain.exp() * z[:, : self.channels]

    @property
    def halo(self) -> int:
        """The paddings of all convolutions."""
        return sum(max(layer.radii) for layer in [*layers_of(self.inner), *layers_of(self.outer)])

    def composed_bound(self) -> float:
        """Gain times the product over steps: near its tied start a step is hardly above 1.

        With ``V = −2Wᵀ + E`` a step is ``z − 2Wᵀclip(Wz + b)``, see `step_bound`, plus
        ``E clip(Wz + b)``; without the split it is at most ``1 + ‖V‖‖W‖``.
        """
        bound = math.exp(float(self.log_gain))
        for inner, outer, clip in zip(
            layers_of(self.inner), layers_of(self.outer), self.clips, strict=True
        ):
            check_clip(clip)
            norm = layer_bound(inner)
            free = certified_norm(outer.weight.double() + 2 * transposed(inner.weight).double())
            bound *= min(step_bound(norm) + free * norm, 1 + layer_bound(outer) * norm)
        return bound

    @torch.no_grad()
    def start_from(self, other: Network) -> None:
        """Take over a network of the same kind, or a trained `ResidualStrictCNN` as it stands.

        One of fewer axes is enough, see `Network.start_from`.
        """
        if not isinstance(other, ResidualStrictCNN):
            super().start_from(other)
            return
        if other.features != self.features or len(other.convolutions) != len(self.inner):
            raise InputError(
                f"the initial network has {other.features} features and {len(other.convolutions)} "
                f"layers, expected {self.features} and {len(self.inner)}"
            )
        other.eval()
        for layer, source in zip(layers_of(self.inner), other._layers(), strict=True):
            layer.load_state_dict(inflated_state(source.state_dict(), self.ndim))
            layer.weight.copy_(inflated(source.normalised_weight(), self.ndim))
        self.clips.load_state_dict(other.clips.state_dict())
        self.log_gain.copy_(torch.tensor(other.lipschitz).log())
        self._tie()

    @torch.no_grad()
    def _tie(self) -> None:
        for inner, outer in zip(layers_of(self.inner), layers_of(self.outer), strict=True):
            outer.weight.copy_(-2 * transposed(inner.weight))
            outer.bias.zero_()


def _step(
    z: Tensor, code: Tensor | None, inner: Convolution, outer: Convolution, clip: nn.Module
) -> Tensor:
    out: Tensor = z + outer(clip(inner(z, code), code))
    return out
