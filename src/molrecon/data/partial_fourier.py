"""Partial Fourier sampling: where an edge of k-space is missing, and the phase of the image."""

from __future__ import annotations

import torch
from torch import Tensor

from molrecon.data.calibration import calibration_region
from molrecon.operators.fourier import ifft_centred

LEAST_SHARE = 0.04
"""Share of an axis from which on an edge counts as missing: less is nothing to complete."""
FEWEST = 6
"""Lines that lie beyond the edge on the other side: fewer may be there by chance."""


def missing_edge(mask: Tensor, fourier: int) -> tuple[Tensor, tuple[int, ...]]:
    """Return which frequencies lie beyond an edge that was sampled on one side alone.

    Along each axis the samples reach to some distance from zero frequency on either side. Where one
    side ends earlier, by more than the spacing of the samples explains, its rest is missing. What
    neither side has is no edge: it is the resolution of the scan.

    Parameters
    ----------
    mask
        bool ``(1, 1, *spatial)``.
    fourier
        Number of Fourier axes, the last ones.

    Returns
    -------
    tuple
        bool ``(1, 1, *spatial)``, and the axes of it, counted from the end, with a missing edge.

    Examples
    --------
    >>> mask = (torch.arange(32) >= 8).expand(1, 1, 32, 32)
    >>> edge, axes = missing_edge(mask, 2)
    >>> axes, torch.equal(edge, ~mask & (torch.arange(32) > 0))
    ((-1,), True)
    """
    edge, axes = torch.zeros_like(mask), []
    for axis in range(-fourier, 0):
        n = mask.shape[axis]
        along = mask.movedim(axis, 0).flatten(1).any(1)
        place = along.nonzero().flatten() - n // 2
        if len(place) < 2:
            continue
        below, above = -int(place[0]), int(place[-1])
        spacing = int(place.diff().max())
        opposite = int((place.abs() > min(above, below)).sum())
        far = abs(above - below) > max(1 + 1.5 * spacing, LEAST_SHARE * n)
        if not far or opposite < FEWEST:
            continue
        distance = torch.arange(n, device=mask.device) - n // 2
        distance = -distance if above > below else distance
        beyond = (distance > min(above, below)) & (distance <= max(above, below))
        edge = edge | beyond.reshape(-1, *[1] * (-axis - 1))
        axes.append(axis)
    return edge, tuple(axes)


def smooth_phase(kspace: Tensor, mask: Tensor, coil_maps: Tensor, fourier: int) -> Tensor:
    """Return ``e^{iφ}`` of the image that the fully sampled centre of k-space shows.

    The centre is weighted by a Hann window, which leaves no ripples; so φ is smooth.

    Parameters
    ----------
    kspace
        Complex ``(batch, coil, *spatial)``.
    mask
        bool ``(batch or 1, 1, *spatial)``.
    coil_maps
        Complex ``(batch or 1, coil, *spatial)``, or ``(batch or 1, set, coil, *spatial)``.
    fourier
        Number of Fourier axes, the last ones.

    Returns
    -------
    Tensor
        complex64 ``(batch, 1 or set, *spatial)``, 1 where the maps are zero.

    Raises
    ------
    InputError
        If there is no fully sampled centre.

    References
    ----------
    D. C. Noll, D. G. Nishimura, A. Macovski, "Homodyne detection in magnetic resonance imaging",
    IEEE Trans. Med. Imaging 10 (1991) 154.

    Examples
    --------
    >>> from molrecon.operators.fourier import fft_centred
    >>> phase = torch.polar(torch.ones(16), torch.linspace(0, 1, 16)).expand(1, 1, 16, 16)
    >>> ones = torch.ones(1, 1, 16, 16)
    >>> found = smooth_phase(fft_centred(phase, 2), ones > 0, ones + 0j, 2)
    >>> float((found - phase).abs()[..., 4:12].max()) < 0.05
    True
    """
    frames = mask.ndim - 2 - fourier
    sampled = mask.all(2) if frames else mask
    region = calibration_region(sampled)
    window = torch.ones(kspace.shape[-fourier:], device=kspace.device)
    for axis, part in enumerate(region):
        n = window.shape[axis]
        distance = torch.arange(n, device=kspace.device) - n // 2
        reach = (part.stop - part.start + 1) // 2
        hann = torch.cos(torch.pi / 2 * distance / reach).square()
        weights = torch.where(distance.abs() < reach, hann, 0)
        # An axis that was sampled as a whole is not smoothed beyond need.
        window = window * weights.reshape(-1, *[1] * (fourier - 1 - axis))
    images = ifft_centred(kspace * window, fourier)
    if coil_maps.ndim > kspace.ndim:
        low = (coil_maps.conj() * images[:, None]).sum(2)
    else:
        low = (coil_maps.conj() * images).sum(1, keepdim=True)
    size = low.abs()
    return torch.where(size > 0, low / size.where(size > 0, 1), 1).to(torch.complex64)
