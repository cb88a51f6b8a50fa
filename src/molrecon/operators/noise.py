"""The noise level of a scan, measured from its k-space, and how well it is known.

Two measurements are combined. The outer k-space (`outer_noise`) holds little signal, but where it
holds some, on small matrices and clean scans, its level is too large, by up to a few hundred times.
The noise subspace of the calibration matrix (`subspace_noise`) is free of signal with many coils;
with few coils, or one, as far as the image has background. Signal makes either too large and
neither too small, so the smaller one is taken where the subspace does not settle it by itself.

The estimate is a continuous function of k-space, and Lipschitz around every measured one: no small
change of the data makes it jump, as long as the same samples are nonzero. Which samples are looked
at depends on the mask alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from molrecon.operators.calibration_noise import NARROWEST, UNCERTAIN, WIDEST, subspace_noise
from molrecon.operators.checks import check_tensor
from molrecon.operators.fourier import centred_slices
from molrecon.operators.outer_noise import ROUNDING, SMALLEST_NUMBER, check_mask, outer_noise

SURE, UNSURE = 0.1, UNCERTAIN
"""Uncertainty of the subspace up to which it stands alone, and from which on the smaller of both
levels is taken."""
AGREE = 0.1
"""Relative difference of both levels over which one passes into the other."""
GIVEN, NOISE_SCAN = "given", "noise scan"
"""Sources of noise levels that are not measured in the scan itself."""
MOST_FRAMES = 8
"""Frames of a series that are looked at, where each has a calibration region."""


@dataclass(frozen=True, eq=False)
class NoiseEstimate:
    """The noise of a scan as it was measured.

    Attributes
    ----------
    sigma
        Standard deviation ``sqrt(E|n|²)`` of the noise of one complex k-space sample, averaged over
        coils, real ``(batch,)``.
    uncertainty
        Relative standard error of it, ``(batch,)``.
    source
        What it was measured in, in words.

    Examples
    --------
    >>> found = NoiseEstimate(torch.tensor([0.1]), torch.tensor([0.05]), "calibration subspace")
    >>> found.facts()["source"]
    'calibration subspace'
    """

    sigma: Tensor
    uncertainty: Tensor
    source: str

    @property
    def estimated(self) -> bool:
        """Whether it was measured in the scan itself."""
        return self.source not in (GIVEN, NOISE_SCAN)

    def facts(self) -> dict[str, Any]:
        """Return the level and its uncertainty, the largest of a batch, as plain values."""
        return {
            "sigma": float(self.sigma.max()),
            "uncertainty": float(self.uncertainty.max()),
            "source": self.source,
        }


def estimate_sigma(kspace: Tensor, mask: Tensor) -> Tensor:
    """Estimate the noise standard deviation of one complex k-space sample, averaged over coils.

    The level of `estimate_noise`, without what is known about it. It is a continuous function of
    the k-space, and differentiable almost everywhere.

    Parameters
    ----------
    kspace
        Complex ``(batch, coil, *spatial)``, zero frequency at ``n // 2``; every spatial axis a
        Fourier axis (put the frames of a dynamic scan into the batch).
    mask
        Boolean ``(batch or 1, 1, *spatial)``, true where sampled.

    Returns
    -------
    Tensor
        Real ``(batch,)``, ``sqrt(E|n|²)`` in the units of ``kspace``; real and imaginary part
        each have ``sigma / sqrt(2)``.

    Raises
    ------
    InputError
        If the mask does not fit, fewer than 16 samples of an item are usable, or the estimate is
        not a positive number.

    Examples
    --------
    >>> import torch
    >>> from molrecon import estimate_sigma
    >>> noise = torch.randn(1, 4, 64, 64, dtype=torch.complex64, generator=torch.manual_seed(0))
    >>> sigma = estimate_sigma(0.5 * noise, torch.ones(1, 1, 64, 64, dtype=torch.bool))
    >>> print(f"{sigma.item():.1f}")
    0.5
    """
    return estimate_noise(kspace, mask).sigma


def estimate_noise(kspace: Tensor, mask: Tensor) -> NoiseEstimate:
    """Estimate the noise level of a scan and its uncertainty.

    Parameters
    ----------
    kspace
        Complex ``(batch, coil, *spatial)``, zero frequency at ``n // 2``; every spatial axis a
        Fourier axis.
    mask
        Boolean ``(batch or 1, 1, *spatial)``, true where sampled.

    Raises
    ------
    InputError
        As `estimate_sigma`.

    Examples
    --------
    >>> noise = torch.randn(1, 4, 64, 64, dtype=torch.complex64, generator=torch.manual_seed(0))
    >>> found = estimate_noise(noise, torch.ones(1, 1, 64, 64, dtype=torch.bool))
    >>> found.source, bool(found.uncertainty < 0.1)
    ('calibration subspace', True)
    """
    check_tensor("kspace", kspace)
    check_tensor("mask", mask)
    batch, _, *spatial = kspace.shape
    check_mask(kspace, mask)
    sampled = mask.to(torch.bool).expand(batch, 1, *spatial)[:, 0]
    found = [
        _noise_of_item(item, measured, index)
        for index, (item, measured) in enumerate(zip(kspace, sampled, strict=True))
    ]
    kind = kspace.real.dtype
    return NoiseEstimate(
        torch.stack([sigma for sigma, _, _ in found]).to(kind),
        torch.stack([uncertainty.detach() for _, uncertainty, _ in found]).to(kind),
        ", ".join(dict.fromkeys(source for _, _, source in found)),
    )


def estimate_frames_noise(kspace: Tensor, mask: Tensor) -> NoiseEstimate:
    """Estimate the noise of series of frames: the root mean square of `estimate_sigma` over them.

    Frames too sparse to show their noise are left out, unless all are; of many frames with a
    calibration region eight are looked at. K-space is complex ``(batch, coil, t, y, x)``, zero
    frequency at ``n // 2`` of y and x, its mask ``(batch or 1, 1, t, y, x)``.
    """
    frames = kspace.transpose(1, 2)
    masks = mask.expand(len(kspace), *mask.shape[1:]).transpose(1, 2)
    found = []
    for series, sampled in zip(frames, masks, strict=True):
        measured = (sampled != 0) & (series != 0).any(1, keepdim=True)
        rich = measured.flatten(1).sum(1) >= SMALLEST_NUMBER
        chosen = (rich if bool(rich.any()) else torch.ones_like(rich)).nonzero().flatten()
        if _region(sampled.to(torch.bool).all(0)[0]) is not None:
            places = torch.linspace(0, len(chosen) - 1, min(MOST_FRAMES, len(chosen)))
            chosen = chosen[places.round().long().to(chosen.device)]
        found.append(estimate_noise(series[chosen], sampled[chosen]))
    return NoiseEstimate(
        torch.stack([one.sigma.square().mean().sqrt() for one in found]),
        torch.stack([one.uncertainty.mean() for one in found]),
        ", ".join(dict.fromkeys(one.source for one in found)),
    )


def coil_noise_levels(kspace: Tensor, mask: Tensor) -> Tensor | None:
    """Return the noise of every coil relative to the root mean square of all, double ``(coil,)``.

    It is that of the calibration subspace, which signal does not reach; None where no calibration
    region is wide enough to show it. K-space is ``(coil, *spatial)``, no coil of zeros alone, its
    mask ``(*spatial)``.
    """
    measured = mask.to(torch.bool)
    region = _region(measured)
    if region is None:
        return None
    levels, _, _ = outer_noise(kspace, measured, 0)
    found = subspace_noise(kspace[(slice(None), *region)].to(torch.complex128), levels)
    return None if found is None or bool(found.uncertainty > UNCERTAIN) else found.levels


def _noise_of_item(kspace: Tensor, measured: Tensor, index: int) -> tuple[Tensor, Tensor, str]:
    """Estimate the noise of one ``(coil, *spatial)`` item, in double precision."""
    levels, outer, doubt = outer_noise(kspace, measured, index)
    region = _region(measured)
    alive = levels.detach() > ROUNDING * levels.detach().max()
    found = None
    if region is not None:
        calibration = kspace[(slice(None), *region)].to(torch.complex128)[alive]
        found = subspace_noise(calibration, levels[alive])
    if found is None:
        return outer, doubt, "outer k-space"
    # The root mean square over all coils, those without noise among them.
    own = found.sigma * math.sqrt(len(calibration) / len(kspace))
    several = len(calibration) > 1
    unsure = ((found.uncertainty - SURE) / (UNSURE - SURE)).clamp(0, 1) if several else 1.0
    excess = (own / outer).log()
    sigma = own * (-unsure * excess.clamp_min(0)).exp()
    if several:
        by_outer = unsure * (excess / AGREE).clamp(0, 1)
        return sigma, torch.lerp(found.uncertainty, doubt, by_outer), "calibration subspace"
    # Signal of one coil may look like noise to either: it is known as far as both say the same,
    # and neither looks like signal.
    both = torch.hypot(found.uncertainty, excess)
    return sigma, torch.maximum(both, doubt), "calibration subspace and outer k-space"


def _region(measured: Tensor) -> tuple[slice, ...] | None:
    """Return the largest centred cube that was sampled throughout; None where it is narrow."""
    widest = min(WIDEST.get(measured.ndim, 0), *measured.shape)
    for width in range(widest, NARROWEST - 1, -1):
        block = centred_slices(measured.shape, [width] * measured.ndim)
        if bool(measured[block].all()):
            return block
    return None
