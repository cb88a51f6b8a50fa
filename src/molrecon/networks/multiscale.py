"""Odd residual 1-Lipschitz steps at several scales."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy, deepcopy
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from molrecon.errors import InputError
from molrecon.networks.base import WORKING_WIDTHS, Network
from molrecon.networks.blocks import shuffle, unshuffle
from molrecon.networks.inflation import inflated
from molrecon.networks.layers import GuidedClip, SoftClip, changed, resized, start_high_pass
from molrecon.networks.normalised import NormalisedConvolution
from molrecon.networks.settings import StrictSettings, Width
from molrecon.networks.strict import ResidualStrictCNN, StrictSteps, descend, step_change

SPEED = 10.0
"""Of the thresholds, see `SoftClip`."""

QUIET = 0.25
"""Factor on the thresholds of a step that is put into a trained network."""


class MultiscaleStrictSettings(StrictSettings):
    """Settings of a `MultiscaleStrictCNN`."""

    kind: Literal["multiscale-strict"] = "multiscale-strict"
    # A list in YAML and JSON becomes a tuple; its numbers stay strict.
    # Width of the blocks of every step in pixels, in the order of the steps.
    scales: tuple[Annotated[int, Field(strict=True, ge=1, le=64)], ...] = Field(
        (1, 2, 1, 2, 1, 2, 1, 1), min_length=1, max_length=1000, strict=False
    )
    # Channels that steps at scales above 1 read and change: at least those of the image, at most
    # the features.
    coarse_channels: Width = 8
    coarse_features: Width = 64  # width of steps at scales above 1
    # Where σ is below 1 % of the peak, thresholds have a factor of (σ / 1 %) to this power.
    low_noise_power: float = Field(0.0, ge=0, le=4)

    @model_validator(mode="after")
    def _coarse_steps_fit_the_lift(self) -> Self:
        if not self.channels <= self.coarse_channels <= self.features:
            raise ValueError(
                f"coarse_channels is {self.coarse_channels}, expected at least channels = "
                f"{self.channels} and at most features = {self.features}"
            )
        return self


class MultiscaleStrictCNN(StrictSteps):
    r"""Odd residual 1-Lipschitz steps at several scales, ``Lip(H) ≤ lipschitz``.

    Every step is ``z ← z − 2 Wᵀ clip(W z, ±τ)`` on the ``features`` channels of the lifted image,
    with ``W = K U S``: ``S`` takes the first ``coarse_channels`` channels (all of them at scale 1),
    ``U`` sorts blocks of ``scale`` pixels along every axis into channels (`unshuffle`), and ``K``
    is a convolution on that coarser grid. ``U`` is an isometry, its zero padding to whole blocks
    included, and ``‖S‖ = 1``; so ``‖W‖ ≤ ‖K‖ ≤ 1`` for images of every size, and the step is
    nonexpansive whatever ``W`` is made of (`step_bound`). A coarse step sees ``scale`` times as far
    as a fine one of the same kernel, at a fraction of its cost.

    There are no biases, unlike in `ResidualStrictCNN`: the sign of a complex image is arbitrary,
    so the network is odd, ``H(−x) = −H(x)``. A bias that strays beyond the threshold switches its
    feature off wherever the image is flat.

    Parameters
    ----------
    **settings
        ``ndim`` (spatial axes, 2 or 3), ``channels`` (real channels of the images, 2 for complex
        ones), ``features`` (width of the lift and of a step at scale 1), ``scales`` (width of the
        blocks of every step), ``coarse_channels`` and ``coarse_features`` (what steps at scales
        above 1 read, and their width), ``low_noise_power`` (where the noise level σ is below 1 % of
        the peak, thresholds have a factor of ``(σ / 0.01)`` to this power), ``kernel_size`` (odd
        width of the kernels in pixels), ``noise_conditioned`` (whether the noise level sets the
        thresholds) and ``lipschitz`` (the bound 1 − m); see `MultiscaleStrictSettings`.

    Raises
    ------
    InputError
        If a setting is unknown, of another type or out of range.

    Examples
    --------
    >>> from molrecon import MultiscaleStrictCNN
    >>> network = MultiscaleStrictCNN(features=8, scales=(1, 2), coarse_features=16).eval()
    >>> network.lipschitz_bound() <= 0.98
    True
    """

    Settings: ClassVar[type[MultiscaleStrictSettings]] = MultiscaleStrictSettings
    settings: MultiscaleStrictSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        chosen = self.settings
        self.features, self.scales = chosen.features, chosen.scales
        self.coarse_channels = chosen.coarse_channels
        for scale in self.scales:
            self.convolutions.extend(self._kernels(scale))
        self.clips = nn.ModuleList(
            SoftClip(
                len(layer.weight),
                noise_conditioned=self.noise_conditioned,
                speed=SPEED,
                low_noise_power=chosen.low_noise_power,
            )
            for layer in self._layers()
        )
        self.start()

    def _kernels(self, scale: int) -> list[NormalisedConvolution]:
        """Return the convolutions of the steps on blocks of one width."""
        return [self._kernel(scale, self.settings.kernel_size)]

    def _kernel(
        self, scale: int, size: int | Sequence[int], **options: bool
    ) -> NormalisedConvolution:
        """Return a convolution on blocks of ``scale`` pixels along each axis of a kernel."""
        chosen, ndim = self.settings, self.kernel_axes
        taken, width = (
            (chosen.features, chosen.features)
            if scale == 1
            else (chosen.coarse_channels, chosen.coarse_features)
        )
        return NormalisedConvolution(
            taken * scale**ndim, width, ndim=ndim, kernel_size=size, biased=False, **options
        )

    def reset_parameters(self) -> None:
        """Draw new weights: filters of blocks that ignore constant images, of norm 1."""
        for scale, (layer, clip) in self.scaled_steps():
            layer.reset_parameters()
            start_with_block_means(layer.weight, scale**self.kernel_axes)
            clip.reset_parameters()

    def apply_channels(self, x: Tensor, code: Tensor | None) -> Tensor:
        """Lift, descend at every scale, cut back."""
        z, steps = x, self.scaled_steps()
        for scale, (layer, clip) in steps:
            weight = layer.normalised_weight()
            kept = self.channels if clip is steps[-1][1][1] else self.features
            if scale == 1:
                z = self.layer(descend, z, code, weight, layer, clip, kept)
            else:
                z = self.layer(self._descend_coarsely, z, code, weight, layer, clip, scale, kept)
        return self.lipschitz * z

    def _descend_coarsely(
        self,
        z: Tensor,
        code: Tensor | None,
        weight: Tensor,
        layer: NormalisedConvolution,
        clip: nn.Module,
        scale: int,
        kept: int,
    ) -> Tensor:
        blocks = unshuffle(resized(z, self.coarse_channels), scale)
        change = step_change(blocks, code, weight, layer, clip)
        # Of the channels of an image z may be the caller's.
        own = z.shape[1] > self.channels
        return changed(z, shuffle(change, scale, z.shape[2:]), kept, own=own)

    def scaled_steps(self) -> list[tuple[int, tuple[NormalisedConvolution, SoftClip]]]:
        """Return the scale, the convolution and the thresholds of every step."""
        return list(zip(self.scales, self.steps(), strict=True))

    def at_thresholds(self, factors: Sequence[Tensor]) -> Self:
        """Return the network with its thresholds multiplied pixel by pixel; weights are shared.

        Parameters
        ----------
        factors
            For every step ``(batch, features, *grid)``, the grid being that of its blocks.
        """
        other = copy(self)
        # A copy of a module shares the table of its parts.
        other._modules = dict(self._modules)
        guided = zip(self.steps(), factors, strict=True)
        clips = nn.ModuleList(GuidedClip(clip, one) for (_, clip), one in guided)
        other.clips = clips.train(self.training)
        return other

    def for_samples(self, samples: Tensor) -> Self:
        """Return the network at its thresholds of some samples of the batch."""
        clips = [clip for clip in self.clips if isinstance(clip, GuidedClip)]
        factors = [clip.factors for clip in clips]
        # Those of one sample serve a batch of any size.
        factors = [own if len(own) == 1 else own[samples] for own in factors]
        return self.at_thresholds(factors) if clips else self

    def in_double(self) -> Self:
        """Return a copy in double precision, at the thresholds it has."""
        clips = [clip for clip in self.clips if isinstance(clip, GuidedClip)]
        # What is recorded for gradients cannot be copied.
        own = self.at_thresholds([clip.factors.detach() for clip in clips]) if clips else self
        return deepcopy(own).double()

    @property
    def halo(self) -> int | None:
        """The widths of all kernels, twice; None with blocks, which a tile would have to keep."""
        return 2 * sum(max(c.radii) for c in self._layers()) if set(self.scales) == {1} else None

    @property
    def working_channels(self) -> int:
        """Estimate of the real numbers per pixel of one application; blocks are fewer."""
        widths = [
            max(layer.weight.shape[:2]) // scale**self.kernel_axes
            for scale, (layer, _) in self.scaled_steps()
        ]
        widest: int = max(self.features, *widths)
        return WORKING_WIDTHS * widest

    def composed_bound(self) -> float:
        """Gain times the product over steps; sorting blocks of pixels is an isometry."""
        return super().composed_bound()

    @torch.no_grad()
    def start_from(self, other: Network) -> None:
        """Take over a network of the same kind, or a trained `ResidualStrictCNN`.

        The latter's steps become the first ones at scale 1, without their biases, and in the middle
        of further axes if it has fewer; the thresholds of the other steps are lowered. So the
        network starts close to what was trained.
        """
        if not isinstance(other, ResidualStrictCNN):
            super().start_from(other)
            return
        start_quietly(self.steps())
        start_steps([step for scale, step in self.scaled_steps() if scale == 1], other)


Steps = Sequence[tuple[NormalisedConvolution, SoftClip]]


def start_quietly(steps: Steps) -> None:
    """Lower the thresholds of new steps, so that they change little of what is around them."""
    for _, clip in steps:
        clip.log_threshold.add_(math.log(QUIET) / SPEED)


def start_steps(steps: Steps, other: StrictSteps) -> None:
    """Take over the kernels and thresholds of a trained network's steps, as the first of these."""
    trained, ndim = other.eval().steps(), steps[0][0].ndim
    kernels = [inflated(layer.normalised_weight(), ndim) for layer, _ in trained]
    shape, found = steps[0][0].weight.shape, kernels[0].shape
    if found != shape or len(steps) < len(trained):
        raise InputError(
            f"the initial network has {len(trained)} steps with kernels {tuple(found)}, expected "
            f"at most {len(steps)} with kernels {tuple(shape)}"
        )
    for (layer, clip), kernel, (_, thresholds) in zip(steps, kernels, trained, strict=False):
        layer.weight.copy_(kernel)
        clip.start_from(thresholds)


@torch.no_grad()
def start_with_block_means(weight: Tensor, block: int) -> None:
    """Fill a kernel with high-pass filters of the means of blocks, of operator norm 1.

    What is finer than a block, the steps at scale 1 see.
    """
    means = weight.new_empty(weight.shape[0], weight.shape[1] // block, *weight.shape[2:])
    start_high_pass(means)
    weight.copy_(torch.cat([means] * block, dim=1) / block**0.5)
