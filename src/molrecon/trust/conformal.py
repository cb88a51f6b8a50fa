"""A band around every pixel that holds the true value as often as was asked, in the statistics.

**What is proved** of a reconstruction is its distance to the exact solution of an equation: it
holds for this scan, and says nothing of the anatomy. **What a band states** is about the anatomy,
but only on average over scans like those it was calibrated on; for the scan at hand it may be wrong
everywhere. The two are never mixed.

Split conformal prediction (Vovk et al. 2005; Lei et al., JASA 2018; for images Angelopoulos et al.,
ICML 2022). The score of a pixel is ``|error| / scale`` with a scale that is known without the right
image, its noise for example. Pixels of one scan depend on each other and are not exchangeable with
those of others; scans are. So the score of a *scan* is the quantile of its pixels' scores at the
coverage that is asked for within a scan, and the factor on the scale is the
``⌈(n + 1)(1 − α)⌉``-th smallest score of n calibration scans. If these and a new scan are
exchangeable (drawn alike and independently: scanner, sequence, anatomy, sampling, noise, method),
then with a probability of at least 1 − α, over calibration scans and the new one, the band covers
that share of the new scan's pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from molrecon.errors import InputError


@dataclass(frozen=True)
class ConformalBand:
    """The half-width of a band, as a factor on the scale of every pixel, and what it states.

    Attributes
    ----------
    factor
        Half-width of the band over the scale of a pixel.
    pixels
        Share of the pixels of a scan that the band is to hold.
    scans
        Probability that it holds them, over calibration scans and a new one exchangeable with
        them.
    calibrated_on
        Number of calibration scans.

    Examples
    --------
    >>> import torch
    >>> from molrecon.trust.conformal import calibrate
    >>> errors = [0.1 * torch.randn(1, 1, 32, 32) for _ in range(9)]
    >>> band = calibrate(errors, [torch.ones(1, 1, 32, 32)] * 9, pixels=0.9, scans=0.9)
    >>> round(band.factor, 1)  # of a normal distribution 1.64 standard deviations and a little more
    0.2
    >>> low, high = band.around(torch.ones(1, 1, 32, 32), torch.ones(1, 1, 32, 32))
    >>> bool((low < 1).all() & (high > 1).all())
    True
    """

    factor: float
    pixels: float
    scans: float
    calibrated_on: int

    def around(self, image: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Return the lower and upper end of the band around the magnitude of an image.

        Parameters
        ----------
        image
            ``(1, channel, *spatial)``, real or complex.
        scale
            That of every pixel, positive, of the same shape and unit as in the calibration.
        """
        magnitude = image.abs() if image.is_complex() else image
        low, high = magnitude - self.factor * scale, magnitude + self.factor * scale
        return (low.clamp_min(0) if image.is_complex() else low), high

    def coverage(self, error: Tensor, scale: Tensor, where: Tensor | None = None) -> float:
        """Return the share of the pixels of a scan that the band holds.

        Parameters
        ----------
        error
            Difference of the magnitudes of image and right image, ``(1, channel, *spatial)``.
        scale
            As in `around`.
        where
            Bool, the pixels that count; None for all.
        """
        inside = error.abs() <= self.factor * scale
        return float((inside if where is None else inside[where]).double().mean())

    def __str__(self) -> str:
        return (
            f"in {self.scans:.0%} of scans like the {self.calibrated_on} it was calibrated on, "
            f"{self.pixels:.0%} of the pixels lie within {self.factor:.3g} times their scale; "
            "for a single scan nothing is proved"
        )


def local_scale(noise: Tensor, floor: float = 0.1) -> Tensor:
    """Return a noise map that is nowhere less than ``floor`` times its mean: the scale of errors.

    Where a method removes all noise its errors are not zero.

    Parameters
    ----------
    noise
        Standard deviation of every pixel, ``(1, channel, *spatial)``.
    floor
        Share of the mean, positive.
    """
    return noise.clamp_min(floor * float(noise.mean()))


def score(error: Tensor, scale: Tensor, pixels: float, where: Tensor | None = None) -> float:
    """Return the factor on the scale that holds a share of the pixels of one scan.

    Parameters
    ----------
    error, scale, where
        As in `ConformalBand.coverage`.
    pixels
        The share, in (0, 1].
    """
    if error.shape != scale.shape or not bool((scale > 0).all()):
        raise InputError(
            f"scale has the shape {tuple(scale.shape)}, expected positive numbers of the shape "
            f"{tuple(error.shape)} of the errors; correct it"
        )
    ratios = error.abs() / scale
    ratios = ratios.flatten() if where is None else ratios[where]
    if not ratios.numel() or not bool(torch.isfinite(ratios).all()):
        raise InputError("error has no pixels that count, or values that are not finite; check it")
    rank = min(ratios.numel(), math.ceil(pixels * ratios.numel()))
    return float(ratios.kthvalue(rank).values)


def calibrate(
    errors: Sequence[Tensor],
    scales: Sequence[Tensor],
    *,
    pixels: float = 0.9,
    scans: float = 0.9,
    where: Sequence[Tensor] | None = None,
) -> ConformalBand:
    """Return the band that held-out scans with right images ask for.

    The scans must not have been trained on, nor used to choose the model, and are taken as
    exchangeable with those that the band is for; of slices of one person, one slice is one scan
    only if the band is for slices of that person.

    Parameters
    ----------
    errors
        Of every calibration scan, magnitude of the image less that of the right image,
        ``(1, channel, *spatial)``; sizes may differ.
    scales
        Of every scan, the scale of its pixels' errors, positive and known without the right image,
        see `local_scale`.
    pixels
        Share of the pixels of a scan that the band is to hold, in (0, 1].
    scans
        Probability that it holds them, in (0, 1): at least ``scans / (1 − scans)`` calibration
        scans are needed.
    where
        Of every scan, the pixels that count, bool; None for all.

    Raises
    ------
    InputError
        If there are too few scans, or a number is out of range.
    """
    count = len(errors)
    if not 0 < pixels <= 1 or not 0 < scans < 1:
        raise InputError(
            f"pixels is {pixels:g} and scans {scans:g}, expected shares in (0, 1] and (0, 1); "
            "correct them"
        )
    if len(scales) != count or (where is not None and len(where) != count):
        raise InputError(f"scales are {len(scales)}, expected one for each of the {count} errors")
    # The share itself, but for the rounding of products such as 10 · 0.9.
    rank = math.ceil((count + 1) * scans - 1e-9)
    if rank > count:
        needed = math.ceil(scans / (1 - scans) - 1e-9)
        raise InputError(
            f"errors are of {count} scans, expected at least {needed} for a probability of "
            f"{scans:g}; calibrate on more, or ask for less"
        )
    masks = [None] * count if where is None else where
    found = sorted(
        score(error, scale, pixels, mask)
        for error, scale, mask in zip(errors, scales, masks, strict=True)
    )
    return ConformalBand(found[rank - 1], pixels, scans, count)
