"""A network that sets the thresholds of a strict network, pixel by pixel, from a first image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import ConfigDict, Field
from torch import Tensor, nn

from molrecon.errors import InputError
from molrecon.networks.base import Network
from molrecon.networks.blocks import shuffle, unshuffle
from molrecon.networks.layers import Convolution, Layer, as_channels
from molrecon.networks.multiscale import MultiscaleStrictCNN
from molrecon.networks.series import SeriesStrictCNN, along_time, as_frames, within_frames
from molrecon.networks.settings import Width
from molrecon.settings import Settings

REACH = 2.5
"""Largest change of the logarithm of a threshold, either way: a factor of 12."""
FILTERS, FILTER_WIDTH = 24, 5
"""Filters that look at the first image, and their width in pixels."""
BLOCK = 2
"""Width of the blocks of pixels at which half of the network works."""


class GuideSettings(Settings):
    """Settings of a `ThresholdGuide`."""

    # Strict: "32" is a mistake, not the number 32.
    model_config = ConfigDict(strict=True)

    features: Width = Field(32)  # channels at the pixels
    coarse_features: Width = Field(64)  # channels at blocks of 2 × 2 pixels

    def guide(self, network: Network) -> ThresholdGuide:
        """Return a new guide of a network, slices or series."""
        kind = SeriesGuide if isinstance(network, SeriesStrictCNN) else ThresholdGuide
        return kind(network, **self.model_dump())


def require_guided(network: Network) -> MultiscaleStrictCNN:
    """Refuse a network whose thresholds no `ThresholdGuide` sets."""
    if (
        not isinstance(network, MultiscaleStrictCNN)
        or network.kernel_axes != 2
        or set(network.scales) != {1, BLOCK}
    ):
        raise InputError(
            f"the network to guide is a {type(network).__name__}, expected a MultiscaleStrictCNN "
            f"of two axes or a SeriesStrictCNN with the scales 1 and {BLOCK}; leave the guide out"
        )
    return network


class ThresholdGuide(Layer):
    r"""Factors on the thresholds of a `MultiscaleStrictCNN`, from an image of the same scan.

    Where a first image shows an edge or texture, a small threshold keeps it, and where it is smooth
    a large one removes more noise. The step ``z − 2 Wᵀ clip(W z, ±τ)`` is nonexpansive for any
    thresholds, whatever they differ by from pixel to pixel: each pixel's clip is the derivative of
    a convex function of its own. So the certificate of the network it guides stays, for whatever
    image and whatever weights here, and the image that is solved for is unique *for the first image
    at hand*. What the bound on the gain does not see is how the first image, and with it the
    thresholds, changes with the measurements.

    It looks at the image in units of the noise, ``log(1 + (w * x)²/σ²)``, so that its factors do
    not depend on the unit, and knows no sign of an image. A new one changes nothing.

    Parameters
    ----------
    network
        The network whose thresholds are set: of two axes, with scales of 1 and 2.
    features, coarse_features
        Channels at the pixels, and at blocks of 2 × 2 pixels.

    Raises
    ------
    InputError
        If the network is none of these.

    Examples
    --------
    >>> import torch
    >>> from molrecon import MultiscaleStrictCNN, ThresholdGuide
    >>> network = MultiscaleStrictCNN(features=4, scales=(1, 2), coarse_channels=2).eval()
    >>> guide = ThresholdGuide(network, features=4, coarse_features=8)
    >>> image = torch.ones(1, 1, 8, 8, dtype=torch.complex64)
    >>> [tuple(factors.shape) for factors in guide(image, torch.tensor([0.1]))]
    [(1, 4, 8, 8), (1, 64, 4, 4)]
    """

    further: ClassVar[int] = 0
    """What is seen of an image beside the filters and its magnitude, in channels."""

    def __init__(self, network: Network, *, features: int = 32, coarse_features: int = 64) -> None:
        super().__init__()
        self._build(require_guided(network), features, coarse_features)
        if not self.filters.weight.is_meta:
            self.reset_parameters()

    def _build(self, network: MultiscaleStrictCNN, features: int, coarse_features: int) -> None:
        """Allocate the layers."""
        self.widths = [(scale, len(layer.weight)) for scale, (layer, _) in network.scaled_steps()]
        wide = BLOCK**2 * features
        self.filters = nn.Conv2d(
            network.channels, FILTERS, FILTER_WIDTH, padding=FILTER_WIDTH // 2, bias=False
        )
        self.fine = nn.Conv2d(FILTERS + 1 + self.further, features, 3, padding=1)
        self.down = nn.Conv2d(wide, coarse_features, 3, padding=1)
        self.near = nn.Conv2d(coarse_features, coarse_features, 3, padding=1)
        self.far = nn.Conv2d(coarse_features, coarse_features, 3, padding=2, dilation=2)
        self.up = nn.Conv2d(features + coarse_features // BLOCK**2, features, 3, padding=1)
        self.fine_factors = nn.Conv2d(features, sum(self.widths_at(1)), 1)
        self.coarse_factors = nn.Conv2d(coarse_features, sum(self.widths_at(BLOCK)), 1)

    @property
    def factors_per_pixel(self) -> int:
        """Number of factors, per pixel of the image."""
        return sum(width // scale**2 for scale, width in self.widths)

    def reset_parameters(self) -> None:
        """Draw new weights: filters that ignore constant images, and factors of 1."""
        for part in self.children():
            assert isinstance(part, nn.Conv2d | Convolution)
            part.reset_parameters()
        _start_differences(self.filters.weight, (2, 3))
        for part in (self.fine_factors, self.coarse_factors):
            nn.init.zeros_(part.weight)
            assert part.bias is not None
            nn.init.zeros_(part.bias)

    def start_from(self, other: ThresholdGuide) -> None:
        """Take over the weights of a trained guide of as many features.

        Parameters
        ----------
        other
            The trained guide.

        Raises
        ------
        InputError
            If its weights do not fit.
        """
        try:
            self.load_state_dict(self._taken(other))
        except RuntimeError as error:
            raise InputError(
                f"the initial guide does not fit: {' '.join(str(error).split())}"
            ) from None

    def _taken(self, other: ThresholdGuide) -> dict[str, Tensor]:
        """Return the weights that a trained guide starts this one with."""
        return other.state_dict()

    def forward(self, image: Tensor, sigma: Tensor) -> list[Tensor]:
        """Return for every step factors ``(batch, features, *grid)`` on its thresholds.

        Parameters
        ----------
        image
            The first image, ``(batch, channel, y, x)``, with a peak of about 1.
        sigma
            Noise level relative to the peak, ``(batch,)``.
        """
        level = sigma.to(image.real.dtype).reshape(-1, 1, 1, 1)
        return self._factors(self._seen(as_channels(image)), level)

    def _seen(self, z: Tensor) -> Tensor:
        """Return the filtered image and its magnitude, of real channels ``(batch, ·, y, x)``."""
        return torch.cat([self.filters(z), torch.linalg.vector_norm(z, dim=1, keepdim=True)], dim=1)

    def _factors(self, seen: Tensor, level: Tensor, count: int = 1) -> list[Tensor]:
        """Return the factors that follow from what is seen of ``count`` frames of a series."""
        fine = torch.relu(self.fine(0.5 * torch.log1p((seen / level) ** 2)))
        coarse = torch.relu(self.down(unshuffle(fine, BLOCK)))
        coarse = coarse + torch.relu(self.near(coarse))
        coarse = coarse + torch.relu(self.far(coarse))
        coarse = self._over_time(coarse, count)
        back = shuffle(coarse[:, : len(coarse[0]) // BLOCK**2 * BLOCK**2], BLOCK, fine.shape[2:])
        fine = fine + torch.relu(self.up(torch.cat([fine, back], dim=1)))
        parts = {
            1: iter(self._split(self.fine_factors(fine), 1)),
            BLOCK: iter(self._split(self.coarse_factors(coarse), BLOCK)),
        }
        return [next(parts[scale]) for scale, _ in self.widths]

    def _over_time(self, coarse: Tensor, count: int) -> Tensor:
        """Return features of blocks that have seen other frames, where there are any."""
        return coarse

    def widths_at(self, scale: int) -> list[int]:
        """Return the widths of the steps at one scale."""
        return [width for own, width in self.widths if own == scale]

    def _split(self, logs: Tensor, scale: int) -> Sequence[Tensor]:
        factors = (REACH * torch.tanh(logs / REACH)).exp()
        return torch.split(factors, self.widths_at(scale), dim=1)


@torch.no_grad()
def _start_differences(kernels: Tensor, axes: tuple[int, ...]) -> None:
    """Make filters ignore what is constant along axes, and give them norm 1."""
    kernels -= kernels.mean(axes, keepdim=True)
    kernels /= torch.linalg.vector_norm(kernels, dim=(1, 2, 3), keepdim=True)


TEMPORAL_FILTERS, TEMPORAL_WIDTH = 16, 5
"""Filters that look along time at the first series, and their width in frames."""


class SeriesGuide(ThresholdGuide):
    """A `ThresholdGuide` of a `SeriesStrictCNN`: it sees every frame, and its pixels along time.

    Parameters
    ----------
    network
        The network whose thresholds are set, with scales of 1 and 2.
    features, coarse_features
        As those of a `ThresholdGuide`.

    Raises
    ------
    InputError
        If the network is none with scales of 1 and 2.
    """

    further = FILTERS + TEMPORAL_FILTERS + 2

    def _build(self, network: MultiscaleStrictCNN, features: int, coarse_features: int) -> None:
        if not isinstance(network, SeriesStrictCNN):
            raise InputError(
                f"the network to guide is a {type(network).__name__}, expected a SeriesStrictCNN; "
                "a ThresholdGuide is that of slices"
            )
        super()._build(network, features, coarse_features)
        size = (TEMPORAL_WIDTH, 1)
        self.temporal = Convolution(
            network.channels, TEMPORAL_FILTERS, kernel_size=size, biased=False, periodic=True
        )
        self.times = Convolution(coarse_features, coarse_features, kernel_size=size, periodic=True)

    def reset_parameters(self) -> None:
        """Draw new weights: temporal filters that ignore what stands still, and factors of 1."""
        super().reset_parameters()
        _start_differences(self.temporal.weight, (2,))
        nn.init.zeros_(self.times.weight)

    def _taken(self, other: ThresholdGuide) -> dict[str, Tensor]:
        """Return the weights of a guide of series, or of one of slices, which sees every frame.

        The latter has no factors for the steps along time, which stay at 1.
        """
        if isinstance(other, SeriesGuide):
            return super()._taken(other)
        taken = other.state_dict()
        seen = taken["fine.weight"]
        further = seen.new_zeros(len(seen), self.further, *seen.shape[2:])
        taken["fine.weight"] = torch.cat([seen, further], dim=1)
        for head, scale in (("fine_factors", 1), ("coarse_factors", BLOCK)):
            for name in (f"{head}.weight", f"{head}.bias"):
                steps = torch.split(taken[name], other.widths_at(scale))
                pairs = [part for step in steps for part in (step, torch.zeros_like(step))]
                taken[name] = torch.cat(pairs)
        return self.state_dict() | taken

    def forward(self, image: Tensor, sigma: Tensor) -> list[Tensor]:
        """Return for every step factors on its thresholds, of the grid it clips on.

        Parameters
        ----------
        image
            The first series, ``(batch, channel, t, y, x)``, with a peak of about 1.
        sigma
            Noise level relative to the peak, ``(batch,)``.
        """
        count = image.shape[2]
        level = sigma.to(image.real.dtype).repeat_interleave(count).reshape(-1, 1, 1, 1)
        channels = as_channels(image)
        still = channels.mean(2, keepdim=True)
        frames = as_frames(channels)
        times = within_frames(self.temporal(along_time(frames, count)), frames)
        moving = torch.linalg.vector_norm(as_frames(channels - still), dim=1, keepdim=True)
        seen = [self._seen(frames), self._seen(as_frames(still)).repeat_interleave(count, 0)]
        factors = self._factors(torch.cat([*seen, times, moving], dim=1), level, count)
        return [along_time(f, count) if n % 2 else f for n, f in enumerate(factors)]

    def _over_time(self, coarse: Tensor, count: int) -> Tensor:
        return coarse + within_frames(self.times(along_time(coarse, count)), coarse)
