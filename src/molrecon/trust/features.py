"""Small features of known size and contrast, on a lattice, and what became of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from molrecon.operators.fourier import filter_circular
from molrecon.trust.noise import unit_phase

TISSUE = 0.1
"""Smoothed magnitude, relative to the peak of the image, above which there is tissue."""

SMOOTHING = 3.0
"""Full width at half maximum, in pixels, of the mean that tells the level and phase of tissue."""

PEAK = 0.999
"""Quantile of the magnitude that counts as the peak: single bright pixels do not."""

APART = 2.0
"""Least distance of the lattice along an axis, in widths of a feature; nearest features are √2
times (in three dimensions as well) as far apart, since every second place is left empty."""

LEAST_SPACING = 4


def gaussian(width: float, shape: Sequence[int]) -> Tensor:
    """Return a Gaussian of peak 1 at index 0, periodic, real of ``shape``.

    Parameters
    ----------
    width
        Full width at half maximum, in pixels.
    shape
        Spatial shape.
    """
    squares = torch.zeros(tuple(shape), dtype=torch.float64)
    for axis, n in enumerate(shape):
        along = torch.arange(n, dtype=torch.float64)
        along = torch.minimum(along, n - along).square()
        squares = squares + along.reshape(-1, *([1] * (len(shape) - 1 - axis)))
    return torch.exp(-4 * math.log(2) / width**2 * squares)


def convolved(image: Tensor, kernel: Tensor) -> Tensor:
    """Convolve images periodically with a real kernel that is centred at index 0.

    Parameters
    ----------
    image
        ``(batch, channel, *spatial)``.
    kernel
        Real ``spatial``.
    """
    ndim = kernel.ndim
    transfer = torch.fft.fftn(kernel.to(image.device)).real.to(image.real.dtype)
    return filter_circular(image, transfer, ndim)


@dataclass(frozen=True, eq=False)
class Tissue:
    """Where there is tissue, how bright it is and with which phase.

    Attributes
    ----------
    mask
        Bool ``(1, *shape_in)``.
    level
        Mean of the image around every pixel, its magnitude, nowhere less than a tenth of the peak.
    phase
        Phase of that mean, of magnitude 1; the sign of a real image.
    """

    mask: Tensor
    level: Tensor
    phase: Tensor

    @classmethod
    def of(cls, image: Tensor, support: Tensor | None) -> Tissue:
        """Tell tissue from background.

        Parameters
        ----------
        image
            ``(1, *shape_in)``.
        support
            Pixels the measurements can see, of the same shape; None for all.
        """
        kernel = gaussian(SMOOTHING, image.shape[2:])
        mean = convolved(image, kernel / kernel.sum())
        size = mean.abs()
        rank = max(1, round(PEAK * size.numel()))
        least = TISSUE * size.flatten().kthvalue(rank).values
        mask = size > least
        if support is not None:
            mask = mask & support
        return cls(mask, size.clamp_min(least), unit_phase(mean))


class Lattice:
    """Places of features, shifted until all pixels are covered.

    Of the places that lie a spacing apart along every axis every second one holds a feature, like
    the black squares of a chessboard, and the others none: there false echoes show. Half of the
    features are brighter than their surroundings and half darker, at random; equal ones on a
    lattice would lie at few spatial frequencies, and whether these were sampled would decide.

    Parameters
    ----------
    spatial
        Shape of the image.
    spacing
        Distance of the places along every axis, in pixels.
    seed
        Seed of the signs and of the order of the shifts.
    """

    def __init__(self, spatial: Sequence[int], spacing: int, seed: int = 0) -> None:
        self.spatial, self.spacing = tuple(spatial), spacing
        self._generator = torch.Generator().manual_seed(seed)
        shifts = itertools.product(*(range(spacing) for _ in spatial), (0, 1))
        listed = list(shifts)
        order = torch.randperm(len(listed), generator=self._generator).tolist()
        self._shifts = [listed[k] for k in order]

    def __len__(self) -> int:
        return len(self._shifts)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Return for every shift the signs −1, 0 and 1, and the empty places, ``spatial`` each."""
        for *shift, colour in self._shifts:
            grid = torch.zeros(self.spatial, dtype=torch.bool)
            cells = torch.zeros(self.spatial, dtype=torch.int64)
            grid[tuple(slice(s, None, self.spacing) for s in shift)] = True
            for axis, (n, s) in enumerate(zip(self.spatial, shift, strict=True)):
                index = torch.div(torch.arange(n) - s, self.spacing, rounding_mode="floor")
                cells = cells + index.reshape(-1, *([1] * (len(self.spatial) - 1 - axis)))
            taken = grid & (cells % 2 == colour)
            coin = torch.rand(self.spatial, generator=self._generator) < 0.5
            yield torch.where(coin, 1.0, -1.0) * taken, grid & ~taken


def spacing_for(size: float) -> int:
    """Return the spacing of the lattice for features of a width in pixels."""
    return max(LEAST_SPACING, math.ceil(APART * size))
