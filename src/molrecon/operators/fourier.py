"""Centred, orthonormal Fourier transforms over the trailing axes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def spatial_dims(ndim: int) -> tuple[int, ...]:
    """Return the axis numbers of the last ``ndim`` axes, as negative integers."""
    return tuple(range(-ndim, 0))


def centred_slices(shape: Sequence[int], widths: Sequence[int]) -> tuple[slice, ...]:
    """Return the slices of the block of these widths whose own centre lies on index ``n // 2``."""
    starts = [n // 2 - width // 2 for n, width in zip(shape, widths, strict=True)]
    return tuple(slice(start, start + width) for start, width in zip(starts, widths, strict=True))


def fft_centred(x: Tensor, ndim: int) -> Tensor:
    """Centred orthonormal FFT over the last ``ndim`` axes: zero frequency at index ``n // 2``."""
    dims = spatial_dims(ndim)
    k: Tensor = torch.fft.fftn(torch.fft.ifftshift(x, dim=dims), dim=dims, norm="ortho")
    shifted: Tensor = torch.fft.fftshift(k, dim=dims)
    return shifted


def ifft_centred(k: Tensor, ndim: int) -> Tensor:
    """Inverse (and adjoint) of `fft_centred`."""
    dims = spatial_dims(ndim)
    x: Tensor = torch.fft.ifftn(torch.fft.ifftshift(k, dim=dims), dim=dims, norm="ortho")
    shifted: Tensor = torch.fft.fftshift(x, dim=dims)
    return shifted


def filter_circular(x: Tensor, transfer: Tensor, ndim: int) -> Tensor:
    """Multiply the spectrum over the last ``ndim`` axes by ``transfer``: a circular convolution.

    ``transfer`` has its zero frequency first. For real images it has to be the spectrum of a real
    kernel, and half of it is used.
    """
    dims = spatial_dims(ndim)
    if x.is_complex():
        filtered: Tensor = torch.fft.ifftn(torch.fft.fftn(x, dim=dims) * transfer, dim=dims)
        return filtered
    spectrum = torch.fft.rfftn(x, dim=dims)
    half = transfer[..., : spectrum.shape[-1]]
    real: Tensor = torch.fft.irfftn(spectrum * half, s=x.shape[-ndim:], dim=dims)
    return real
