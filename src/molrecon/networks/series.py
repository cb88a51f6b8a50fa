"""Odd residual 1-Lipschitz steps for series: within the frames, and along time, in turn."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from molrecon.networks.base import Network
from molrecon.networks.blocks import shuffle, unshuffle
from molrecon.networks.layers import SoftClip, changed, resized
from molrecon.networks.multiscale import (
    MultiscaleStrictCNN,
    MultiscaleStrictSettings,
    start_quietly,
    start_steps,
)
from molrecon.networks.normalised import NormalisedConvolution
from molrecon.networks.settings import OddWidth
from molrecon.networks.strict import step_change


class SeriesStrictSettings(MultiscaleStrictSettings):
    """Settings of a `SeriesStrictCNN`."""

    kind: Literal["series-strict"] = "series-strict"  # type: ignore[assignment]
    ndim: Literal[3] = 3
    temporal_width: OddWidth = 9  # odd width of the kernels along time, in frames


class SeriesStrictCNN(MultiscaleStrictCNN):
    r"""Odd residual 1-Lipschitz steps on series (t, y, x) of one period, ``Lip(H) ≤ lipschitz``.

    Every step is ``z ← z − 2 Wᵀ clip(W z, ±τ)``, without biases, as in a `MultiscaleStrictCNN`.
    For each of the ``scales`` there are two: one of kernels within every frame, and one of long
    kernels along time alone, on the same blocks of pixels. What stands still has none but small
    coefficients in time, which a long filter tells from noise better than a difference of two
    frames does. The steps within frames can be those of a network that was trained on slices.

    Time is periodic, as the frames of a gated cine scan are, which show one heartbeat: W is a
    circular convolution in time, whose norm does not exceed that on an infinite axis
    (`convolution_norm`). A series that is no whole period is treated as one that jumps at its end.

    Parameters
    ----------
    **settings
        Those of a `MultiscaleStrictCNN`, of which ``kernel_size`` is the width within frames, and
        ``temporal_width`` (odd width of the kernels along time, in frames); see
        `SeriesStrictSettings`.

    Raises
    ------
    InputError
        If a setting is unknown, of another type or out of range.

    Examples
    --------
    >>> import torch
    >>> from molrecon import SeriesStrictCNN
    >>> settings = {"features": 8, "scales": (1, 2), "coarse_features": 16, "temporal_width": 3}
    >>> network = SeriesStrictCNN(**settings).eval()
    >>> network(torch.randn(1, 1, 6, 9, 7, dtype=torch.complex64), torch.tensor([0.05])).shape
    torch.Size([1, 1, 6, 9, 7])
    """

    Settings = SeriesStrictSettings
    settings: SeriesStrictSettings

    def _kernels(self, scale: int) -> list[NormalisedConvolution]:
        within = self._kernel(scale, self.settings.kernel_size)
        return [within, self._kernel(scale, (self.settings.temporal_width, 1), periodic=True)]

    def apply_channels(self, x: Tensor, code: Tensor | None) -> Tensor:
        """Lift, descend within frames and along time at every scale, cut back."""
        count, steps = x.shape[2], self.scaled_steps()
        codes = None if code is None else code.repeat_interleave(count)
        z = as_frames(x)
        for number, (scale, (layer, clip)) in enumerate(steps):
            along, own = (count, code) if number % 2 else (None, codes)
            kept = self.channels if number + 1 == len(steps) else self.features
            weight = layer.normalised_weight()
            z = self.layer(self._descend, z, own, weight, layer, clip, scale, along, kept)
        return self.lipschitz * as_series(z, count)

    def _descend(
        self,
        z: Tensor,
        code: Tensor | None,
        weight: Tensor,
        layer: NormalisedConvolution,
        clip: nn.Module,
        scale: int,
        count: int | None,
        kept: int,
    ) -> Tensor:
        """Take a step on blocks of pixels, within frames or, of ``count`` frames, along time."""
        blocks = z if scale == 1 else unshuffle(resized(z, self.coarse_channels), scale)
        seen = blocks if count is None else along_time(blocks, count)
        # Of pixels, neither channels of zeros nor those that are cut off are computed with.
        change = step_change(seen, code, weight, layer, clip, kept if scale == 1 else None)
        if count is not None:
            change = within_frames(change, blocks)
        if scale > 1:
            change = shuffle(change, scale, z.shape[2:])
        # Of the channels of an image z may be the caller's.
        return changed(z, change, kept, own=z.shape[1] > self.channels)

    def scaled_steps(self) -> list[tuple[int, tuple[NormalisedConvolution, SoftClip]]]:
        """Return the scale, the convolution and the thresholds of every step, in their order."""
        return [(self.scales[n // 2], step) for n, step in enumerate(self.steps())]

    @property
    def kernel_axes(self) -> int:
        """Two: those of a frame, or time and all pixels."""
        return 2

    @property
    def uncut(self) -> tuple[int, ...]:
        """Time, whose ends see each other."""
        return (0,)

    @property
    def halo(self) -> int | None:
        """Pixels along the axes of a frame that a pixel depends on; None with blocks."""
        radii = [max(layer.radii) for layer in self._layers()[::2]]
        return 2 * sum(radii) if set(self.scales) == {1} else None

    def composed_bound(self) -> float:
        """Gain times the product over steps; sorting pixels and frames is an isometry."""
        return super().composed_bound()

    @torch.no_grad()
    def start_from(self, other: Network) -> None:
        """Take over a network of the same kind, or a trained `MultiscaleStrictCNN` of slices.

        The latter's steps become those within frames; the thresholds of the others are lowered.
        """
        if isinstance(other, MultiscaleStrictCNN) and other.ndim == 2:
            start_quietly(self.steps()[1::2])
            start_steps(self.steps()[::2], other)
        else:
            super().start_from(other)


def as_frames(x: Tensor) -> Tensor:
    """Sort ``(batch, channels, t, y, x)`` to frames ``(batch · t, channels, y, x)``.

    Channels are last in memory before and after, so that nothing is moved.
    """
    return x.permute(0, 2, 3, 4, 1).flatten(0, 1).permute(0, 3, 1, 2)


def as_series(frames: Tensor, count: int) -> Tensor:
    """Inverse of `as_frames`, for series of ``count`` frames."""
    batch, rest = len(frames) // count, frames.shape[2:]
    split = frames.permute(0, 2, 3, 1).reshape(batch, count, *rest, frames.shape[1])
    return split.permute(0, 4, 1, 2, 3)


def along_time(frames: Tensor, count: int) -> Tensor:
    """Sort frames ``(batch · t, channels, y, x)`` to ``(batch, channels, t, y · x)``."""
    return as_series(frames, count).flatten(3)


def within_frames(times: Tensor, like: Tensor) -> Tensor:
    """Inverse of `along_time`, for frames of the size of ``like``."""
    return as_frames(times.reshape(*times.shape[:3], *like.shape[2:]))
