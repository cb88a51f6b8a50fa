"""Odd residual 1-Lipschitz steps for series that are periodic in time."""

from __future__ import annotations

from typing import Any, Literal

import torch

from molrecon.networks.base import Network
from molrecon.networks.layers import SoftClip, start_high_pass
from molrecon.networks.multiscale import SPEED, MultiscaleStrictCNN, start_quietly, start_steps
from molrecon.networks.normalised import NormalisedConvolution
from molrecon.networks.settings import Depth, OddWidth, StrictSettings, Width
from molrecon.networks.strict import StrictSteps


class PeriodicStrictSettings(StrictSettings):
    """Settings of a `PeriodicStrictCNN`."""

    kind: Literal["periodic-strict"] = "periodic-strict"
    ndim: Literal[3] = 3
    steps: Depth = 5  # number of pairs of a local and a temporal step, at least 1
    temporal_features: Width = 32  # width of the temporal steps
    temporal_width: OddWidth = 9  # odd width of the kernels of the temporal steps, in frames


class PeriodicStrictCNN(StrictSteps):
    r"""Odd residual 1-Lipschitz steps on series (t, y, x) of one period, ``Lip(H) ≤ lipschitz``.

    Every step is ``z ← z − 2 Wᵀ clip(W z, ±τ)``, without biases. Steps of two kinds
    alternate: one of kernels as wide in time as in space, and one of long kernels in time alone.
    What stands still has none but small coefficients at all times, which a long filter tells from
    noise better than a difference of two frames does.

    Time is periodic, as the frames of a gated cine scan are, which show one heartbeat: W is a
    circular convolution in time, whose norm does not exceed that on an infinite axis
    (`convolution_norm`). A series that is no whole period is treated as one that jumps at its end.

    Parameters
    ----------
    **settings
        ``channels`` (real channels of the images, 2 for complex ones), ``features`` (width of the
        lift and of the local steps), ``steps`` (number of pairs of a local and a temporal step),
        ``kernel_size`` (odd width of the local kernels in pixels), ``temporal_features`` and
        ``temporal_width`` (width of the temporal steps, and of their kernels in frames),
        ``noise_conditioned`` (whether the noise level sets the thresholds) and ``lipschitz`` (the
        bound 1 − m); see `PeriodicStrictSettings`.

    Raises
    ------
    InputError
        If a setting is unknown, of another type or out of range.

    Examples
    --------
    >>> import torch
    >>> from molrecon import PeriodicStrictCNN
    >>> settings = {"features": 8, "steps": 1, "temporal_features": 4, "temporal_width": 3}
    >>> network = PeriodicStrictCNN(**settings).eval()
    >>> network(torch.randn(1, 1, 6, 9, 7, dtype=torch.complex64), torch.tensor([0.05])).shape
    torch.Size([1, 1, 6, 9, 7])
    """

    Settings = PeriodicStrictSettings
    settings: PeriodicStrictSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        chosen = self.settings
        self.features = chosen.features
        kinds = (
            (chosen.features, (chosen.kernel_size,) * 3),
            (chosen.temporal_features, (chosen.temporal_width, 1, 1)),
        )
        for width, size in kinds * chosen.steps:
            layer = NormalisedConvolution(
                self.features, width, ndim=3, kernel_size=size, biased=False, periodic=True
            )
            self.convolutions.append(layer)
        self.clips = torch.nn.ModuleList(
            SoftClip(len(layer.weight), noise_conditioned=self.noise_conditioned, speed=SPEED)
            for layer in self._layers()
        )
        self.start()

    def reset_parameters(self) -> None:
        """Draw new weights: filters that ignore constant images, of norm 1."""
        for layer, clip in self.steps():
            layer.reset_parameters()
            start_high_pass(layer.weight)
            clip.reset_parameters()

    @property
    def halo(self) -> int:
        """Pixels along the axes of a frame that a pixel depends on beyond its place."""
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
