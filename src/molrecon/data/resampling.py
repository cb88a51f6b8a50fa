"""Change the pixel size of an image as a scanner would: by the extent of its k-space."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from molrecon.operators.fourier import fft_centred, ifft_centred, spatial_dims


def fourier_resample(image: Tensor, size: Sequence[int]) -> Tensor:
    """Resample the last axes, ``(y, x)`` or ``(z, y, x)``, by cropping or zero-filling k-space.

    Values keep their units. Shrinking is band-limited exactly, and rings at sharp edges as every
    acquisition of that resolution does. The image is taken as periodic along these axes.
    """
    ndim = len(size)
    old = tuple(image.shape[-ndim:])
    spectrum = fft_centred(image.to(torch.complex64), ndim)
    for axis, n_new in zip(spatial_dims(ndim), size, strict=True):
        n_old = spectrum.shape[axis]
        kept = min(n_old, n_new)
        spectrum = spectrum.narrow(axis, n_old // 2 - kept // 2, kept)
        if n_new > n_old:
            before = n_new // 2 - n_old // 2
            pad = [0, 0] * (-axis - 1) + [before, n_new - n_old - before]
            spectrum = torch.nn.functional.pad(spectrum, pad)
    # Orthonormal transforms of two sizes scale values by the square root of the pixel ratio.
    gain = math.sqrt(math.prod(size) / math.prod(old))
    resampled = ifft_centred(spectrum, ndim) * gain
    return resampled if image.is_complex() else resampled.real.contiguous()


def resample_maps(maps: Tensor, shape: Sequence[int]) -> Tensor:
    """Return coil maps of another matrix of the same field of view, by linear interpolation.

    Maps are smooth, so that nothing is lost; the pixel at ``n // 2`` of each axis stays in place.

    Parameters
    ----------
    maps
        Complex ``(batch, coil, *spatial)``.
    shape
        New lengths of the last axes.
    """
    for axis, n in enumerate(shape, start=-len(shape)):
        old = maps.shape[axis]
        if old == n:
            continue
        places = ((torch.arange(n) - n // 2) * (old / n) + old // 2).clamp(0, old - 1)
        lower = places.floor().long().clamp_max(max(old - 2, 0))
        weight = (places - lower).to(maps.real.dtype).reshape(-1, *[1] * (-axis - 1))
        upper = (lower + 1).clamp_max(old - 1)
        maps = torch.lerp(
            maps.index_select(axis, lower),
            maps.index_select(axis, upper),
            weight.to(maps.dtype),
        )
    return maps


def effective_bandwidth(image: Tensor) -> float:
    """Estimate the share of the k-space extent that carries an image ``(y, x)``, between 0.2 and 1.

    Images stored zero-filled have empty outer k-space: their bandwidth is the factor by which they
    can be shrunk without loss. Spectra of anatomy fall off so that the energy of the derivative is
    about even over frequencies; the frequency below which 95 % of it lies is therefore 0.95 of the
    extent of the support. The larger of the two axes counts.
    """
    power = fft_centred(image.to(torch.complex64), 2).abs().square()
    widest = 0.0
    for axis, n in enumerate(image.shape):
        frequency = (torch.arange(n) - n // 2).abs()
        profile = power.sum(dim=1 - axis) * frequency.square()
        energy = torch.zeros(n // 2 + 1).index_add_(0, frequency, profile).cumsum(0)
        edge = int(torch.searchsorted(energy, 0.95 * energy[-1]).item())
        widest = max(widest, edge / (n / 2) / 0.95)
    return min(1.0, max(0.2, widest))
