"""Centred, orthonormal Fourier transforms over the trailing axes."""

from __future__ import annotations

import torch
from torch import Tensor


def spatial_dims(ndim: int) -> tuple[int, ...]:
    """Return the axis numbers of the last ``ndim`` axes, as negative integers."""
    return tuple(range(-ndim, 0))


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
