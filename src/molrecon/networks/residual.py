"""Residual network without a built-in bound (MOL-LR)."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from pydantic import Field
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
from molrecon.networks.settings import Depth, LiftedSettings
from molrecon.networks.strict import ResidualStrictCNN


class ResidualSettings(LiftedSettings):
    """Settings of a `ResidualCNN`."""

    kind: Literal["residual"] = "residual"
    layers: Depth = 5  # number of residual steps, at least 1
    # Factor of the whole network at the start, positive; it is learned.
    gain: float = Field(0.98, gt=0)


class ResidualCNN(Network):
    """`ResidualStrictCNN` with its bound taken off: ``z ← z + V clip(W z + b, ±τ)``, V and W free.

    It starts nonexpansive, with ``V = −2Wᵀ`` and ``‖W‖ ≤ 1``, and is kept monotone by the
    Lipschitz constraint of the training, at the images it sees. With skip connections the identity
    costs nothing, and it learns several times faster than the paper's `CNN`.

    Parameters
    ----------
    **settings
        ``ndim`` (spatial axes, 2 or 3), ``channels`` (real channels of the images, 2 for complex
        ones), ``features`` (width of the lift), ``layers`` (number of steps), ``kernel_size`` (odd
        width of the kernels in pixels), ``noise_conditioned`` (whether the noise level sets biases
        and thresholds) and ``gain`` (factor of the whole at the start); see `ResidualSettings`.

    Raises
    ------
    InputError
        If a setting is unknown, of another type or out of range.

    Examples
    --------
    >>> import torch
    >>> from molrecon import ResidualCNN
    >>> network = ResidualCNN(features=8, layers=2)
    >>> network(torch.randn(1, 1, 9, 7, dtype=torch.complex64), torch.tensor([0.05])).shape
    torch.Size([1, 1, 9, 7])
    """

    Settings = ResidualSettings
    settings: ResidualSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        layers = range(self.settings.layers)
        self.features = self.settings.features
        self.inner = nn.ModuleList(self._convolution(self.noise_conditioned) for _ in layers)
        self.outer = nn.ModuleList(self._convolution(False) for _ in layers)
        self.clips = nn.ModuleList(
            SoftClip(self.features, noise_conditioned=self.noise_conditioned) for _ in layers
        )
        self.log_gain = nn.Parameter(torch.empty(()))
        self.start()

    def _convolution(self, conditioned: bool) -> Convolution:
        return Convolution(
            self.features,
            self.features,
            ndim=self.ndim,
            kernel_size=self.settings.kernel_size,
            noise_conditioned=conditioned,
        )

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw new weights: nonexpansive steps, as those of a `ResidualStrictCNN`."""
        super().reset_parameters()
        self.log_gain.copy_(torch.tensor(self.settings.gain).log())
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
