"""The axes on which k-space is undersampled, and AᴴA of several coils along them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from molrecon.operators.fourier import spatial_dims

REORDERED_BYTES = 2**26
"""Coil maps that are kept in a second order of memory, so that AᴴA need not transform a readout."""


def sampled_axes(mask: Tensor, transformed: int, coil_maps: Tensor) -> tuple[int, ...]:
    """Axes that AᴴA has to transform, as negative numbers: those on which the mask varies.

    Along the others, as along a readout, a transform and its inverse cancel. Where coil maps are
    too many to be kept in a second order of memory (`REORDERED_BYTES`), these axes and those that
    lie behind them.

    Parameters
    ----------
    mask
        ``(batch or 1, 1, *spatial)``.
    transformed
        Number of Fourier axes, the last ones.
    coil_maps
        Those of the operator.

    Examples
    --------
    >>> mask = torch.ones(1, 1, 8, 6)
    >>> mask[:, :, 1::2] = 0
    >>> sampled_axes(mask, 2, torch.ones(1, 4, 8, 6) + 0j)
    (-2,)
    """
    dims = spatial_dims(transformed)
    varied = [axis for axis in dims if bool((mask != mask.narrow(axis, 0, 1)).any())]
    if varied and coil_maps.numel() * coil_maps.element_size() > REORDERED_BYTES:
        return dims[dims.index(varied[0]) :]
    return tuple(varied)


def in_order(x: Tensor, axes: Sequence[int]) -> Tensor:
    """Bring axes, given as negative numbers in their order, to the end, in memory too."""
    return x.movedim(tuple(axes), spatial_dims(len(axes))).contiguous()


def nearest_circulant(maps: Tensor, squared: Tensor, transformed: int, sampled: int) -> Tensor:
    """Spectrum of the circular convolution that is nearest to AᴴA on the pixels the coils see.

    At a frequency k it is the Rayleigh quotient of AᴴA for the wave ``exp(ikx)``, cut off where no
    coil sees anything: the sampling density, averaged as far as the coil maps mix frequencies.

    Parameters
    ----------
    maps
        Coil maps ``(batch or 1, set, coil, *spatial)``, in the order of `in_order`.
    squared
        Squares of the mask in the same order, ``(batch or 1, 1, *spatial)``, the zero frequency
        first, of length 1 on axes that are not sampled.
    transformed, sampled
        Numbers of Fourier axes and of those among them on which the mask varies, the last ones.

    Returns
    -------
    Tensor
        Real ``(batch or 1, set, *spatial)``, of length 1 on Fourier axes that are not sampled.
    """
    dims, others = spatial_dims(sampled), spatial_dims(transformed)[: transformed - sampled]
    spread = torch.fft.fftn(maps, dim=dims, norm="forward").abs().square().sum(2)
    seen = (maps != 0).any(2).to(spread.dtype).mean(spatial_dims(transformed), keepdim=True)
    if others:
        spread = spread.mean(others, keepdim=True)
    spread = spread / seen.clamp_min(torch.finfo(seen.dtype).tiny)
    product = torch.fft.fftn(spread, dim=dims).conj() * torch.fft.fftn(squared, dim=dims)
    density: Tensor = torch.fft.ifftn(product, dim=dims).real
    return density.clamp_min(0)
