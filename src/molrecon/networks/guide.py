"""A network that sets the thresholds of a strict network, pixel by pixel, from a first image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import ConfigDict, Field
from torch import Tensor, nn

from molrecon.errors import InputError
from molrecon.networks.base import Network
from molrecon.networks.blocks import shuffle, unshuffle
from molrecon.networks.layers import Layer, as_channels
from molrecon.networks.multiscale import MultiscaleStrictCNN
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
        """Return a new guide of a network."""
        return ThresholdGuide(network, **self.model_dump())


def require_guided(network: Network) -> MultiscaleStrictCNN:
    """Refuse a network whose thresholds no `ThresholdGuide` sets."""
    if (
        not isinstance(network, MultiscaleStrictCNN)
        or network.ndim != 2
        or set(network.scales) != {1, BLOCK}
    ):
        raise InputError(
            f"the network to guide is a {type(network).__name__}, expected a MultiscaleStrictCNN "
            f"of two axes with the scales 1 and {BLOCK}; leave the guide out"
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

    def __init__(self, network: Network, *, features: int = 32, coarse_features: int = 64) -> None:
        super().__init__()
        network = require_guided(network)
        self.widths = [(scale, len(layer.weight)) for scale, (layer, _) in network.scaled_steps()]
        wide = BLOCK**2 * features
        self.filters = nn.Conv2d(
            network.channels, FILTERS, FILTER_WIDTH, padding=FILTER_WIDTH // 2, bias=False
        )
        self.fine = nn.Conv2d(FILTERS + 1, features, 3, padding=1)
        self.down = nn.Conv2d(wide, coarse_features, 3, padding=1)
        self.near = nn.Conv2d(coarse_features, coarse_features, 3, padding=1)
        self.far = nn.Conv2d(coarse_features, coarse_features, 3, padding=2, dilation=2)
        self.up = nn.Conv2d(features + coarse_features // BLOCK**2, features, 3, padding=1)
        self.fine_factors = nn.Conv2d(features, self._width(1), 1)
        self.coarse_factors = nn.Conv2d(coarse_features, self._width(BLOCK), 1)
        if not self.filters.weight.is_meta:
            self.reset_parameters()

    @property
    def factors_per_pixel(self) -> int:
        """Number of factors, per pixel of the image."""
        return sum(width // scale**2 for scale, width in self.widths)

    def _width(self, scale: int) -> int:
        return sum(width for own, width in self.widths if own == scale)

    def reset_parameters(self) -> None:
        """Draw new weights: filters that ignore constant images, and factors of 1."""
        for part in self.children():
            assert isinstance(part, nn.Conv2d)
            part.reset_parameters()
        with torch.no_grad():
            kernels = self.filters.weight
            kernels -= kernels.mean((2, 3), keepdim=True)
            kernels /= torch.linalg.vector_norm(kernels, dim=(1, 2, 3), keepdim=True)
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
            self.load_state_dict(other.state_dict())
        except RuntimeError as error:
            raise InputError(
                f"the initial guide does not fit: {' '.join(str(error).split())}"
            ) from None

    def forward(self, image: Tensor, sigma: Tensor) -> list[Tensor]:
        """Return for every step factors ``(batch, features, *grid)`` on its thresholds.

        Parameters
        ----------
        image
            The first image, ``(batch, channel, y, x)``, with a peak of about 1.
        sigma
            Noise level relative to the peak, ``(batch,)``.
        """
        z = as_channels(image)
        level = sigma.to(z.dtype).reshape(-1, 1, 1, 1)
        seen = torch.cat([self.filters(z), torch.linalg.vector_norm(z, dim=1, keepdim=True)], dim=1)
        fine = torch.relu(self.fine(0.5 * torch.log1p((seen / level) ** 2)))
        coarse = torch.relu(self.down(unshuffle(fine, BLOCK)))
        coarse = coarse + torch.relu(self.near(coarse))
        coarse = coarse + torch.relu(self.far(coarse))
        back = shuffle(coarse[:, : len(coarse[0]) // BLOCK**2 * BLOCK**2], BLOCK, fine.shape[2:])
        fine = fine + torch.relu(self.up(torch.cat([fine, back], dim=1)))
        parts = {
            1: iter(self._split(self.fine_factors(fine), 1)),
            BLOCK: iter(self._split(self.coarse_factors(coarse), BLOCK)),
        }
        return [next(parts[scale]) for scale, _ in self.widths]

    def _split(self, logs: Tensor, scale: int) -> Sequence[Tensor]:
        factors = (REACH * torch.tanh(logs / REACH)).exp()
        widths = [width for own, width in self.widths if own == scale]
        return torch.split(factors, widths, dim=1)
