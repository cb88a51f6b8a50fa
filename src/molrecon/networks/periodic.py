"""Odd residual 1-Lipschitz steps for series that are periodic in time."""

from __future__ import annotations

import torch

from molrecon.errors import InputError
from molrecon.networks.base import Network
from molrecon.networks.layers import SoftClip, start_high_pass
from molrecon.networks.multiscale import SPEED, MultiscaleStrictCNN, start_quietly, start_steps
from molrecon.networks.normalised import NormalisedConvolution
from molrecon.networks.strict import StrictSteps


class PeriodicStrictCNN(StrictSteps):
    r"""Odd residual 1-Lipschitz steps on series (t, y, x) of one period, ``Lip(H) ≤ lipschitz``.

    As in `MultiscaleStrictCNN`, every step is ``z ← z − 2 Wᵀ clip(W z, ±τ)``. Steps of two kinds
    alternate: one of kernels as wide in time as in space, and one of long kernels in time alone.
    What stands still has none but small coefficients at all times, which a long filter tells from
    noise better than a difference of two frames does.

    Time is periodic, as the frames of a gated cine scan are, which show one heartbeat: W is a
    circular convolution in time, whose norm does not exceed that on an infinite axis
    (`convolution_norm`). A series that is no whole period is treated as one that jumps at its end.

    Parameters
    ----------
    ndim
        3: frames of two axes.
    channels, noise_conditioned
        As in `CNN`; the noise level sets the thresholds.
    features
        Width of the lift and of the local steps.
    steps
        Pairs of a local and a temporal step.
    kernel_size
        Width of the local kernels.
    temporal_features, temporal_width
        Width of the temporal steps, and of their kernels in frames.
    lipschitz
        The bound 1 − m.
    """

    def __init__(
        self,
        *,
        ndim: int = 3,
        channels: int = 2,
        features: int = 32,
        steps: int = 5,
        kernel_size: int = 3,
        temporal_features: int = 32,
        temporal_width: int = 9,
        noise_conditioned: bool = True,
        lipschitz: float = 0.98,
    ) -> None:
        if ndim != 3:
            raise InputError(f"ndim is {ndim}, expected 3: series of frames (t, y, x)")
        super().__init__(
            ndim=ndim, channels=channels, noise_conditioned=noise_conditioned, lipschitz=lipschitz
        )
        if features < channels or min(steps, temporal_features) < 1:
            raise InputError(
                f"features is {features}, steps {steps} and temporal_features {temporal_features}, "
                f"expected at least channels = {channels}, 1 and 1"
            )
        self.features = features
        for _ in range(steps):
            for width, size in (
                (features, (kernel_size,) * 3),
                (temporal_features, (temporal_width, 1, 1)),
            ):
                layer = NormalisedConvolution(
                    features, width, ndim=ndim, kernel_size=size, biased=False, periodic=True
                )
                start_high_pass(layer.weight)
                self.convolutions.append(layer)
        self.clips = torch.nn.ModuleList(
            SoftClip(len(layer.weight), noise_conditioned=noise_conditioned, speed=SPEED)
            for layer in self._layers()
        )

    @property
    def halo(self) -> int:
        """That of the axes of a frame."""
        return 2 * sum(max(layer.radii[1:]) for layer in self._layers())

    @property
    def uncut(self) -> tuple[int, ...]:
        """Time, whose ends see each other."""
        return (0,)

    @torch.no_grad()
    def start_from(self, other: Network) -> None:
        """Take over a network of the same kind, or a trained `MultiscaleStrictCNN` of scale 1.

        The latter's steps become the first local ones; the thresholds of the others are lowered.
        """
        if not isinstance(other, MultiscaleStrictCNN) or set(other.scales) != {1}:
            super().start_from(other)
            return
        start_quietly(self.steps())
        start_steps(self.steps()[::2], other)
