"""Blur: convolution with a known kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from molrecon.errors import InputError
from molrecon.operators.base import LinearOperator, per_sample
from molrecon.operators.checks import check_parameter, image_dtype, image_shape
from molrecon.operators.fourier import filter_circular, spatial_dims


class Blur(LinearOperator):
    """Convolution with a known kernel, ``A x = kernel ∗ x``, circular and in any number of axes.

    The kernel's origin is its pixel ``n // 2`` along every axis of length n, the middle one if n is
    odd. Opposite borders of the image are neighbours, which makes A diagonal in the Fourier
    domain: ``A = F⁻¹ diag(k̂) F``, and ``(I + cAᴴA)⁻¹ = F⁻¹ diag(1 / (1 + c|k̂|²)) F``. A photograph
    is not periodic: pad it, or expect errors within a kernel's width of its border. A
    non-negative kernel of sum 1 has ``‖A‖ = 1``.

    Parameters
    ----------
    kernel
        Real or complex ``(batch or 1, channel or 1, *size)``; a kernel of one channel is shared by
        all. `gaussian_kernel`, `box_kernel` and `bicubic_kernel` make some.
    shape
        ``(channel, *spatial)`` of the images; 1 channel for gray or complex ones, 3 for colour.
    dtype
        Of the images: float32, float64, complex64 or complex128; by default that of the kernel.

    Attributes
    ----------
    kernel
        As given.
    power
        Eigenvalues ``|k̂|²`` of AᴴA, ``(batch, channel or 1, *spatial)``, frequency 0 first.

    Raises
    ------
    InputError
        If the kernel does not fit, is larger than the image, is zero everywhere in a sample or
        holds NaN or infinity, or a complex kernel is to act on real images.

    Examples
    --------
    >>> import torch
    >>> from molrecon import Blur, box_kernel
    >>> A = Blur(box_kernel(3, ndim=1), (1, 6))
    >>> A(torch.tensor([[[0.0, 0.0, 3.0, 0.0, 0.0, 0.0]]])).abs().round(decimals=4)
    tensor([[[0., 1., 1., 1., 0., 0.]]])
    """

    _of_every_sample = ("kernel", "power", "_transfer", "_largest_gain")

    def __init__(
        self, kernel: Tensor, shape: Sequence[int], *, dtype: torch.dtype | None = None
    ) -> None:
        shape = image_shape(shape)
        _check_kernel(kernel, shape, image_dtype(dtype or kernel.dtype))
        super().__init__(shape, shape, batch=kernel.shape[0], dtype=dtype or kernel.dtype)
        self.kernel = kernel
        self.ndim = len(self.shape_in) - 1
        transfer = _transfer(kernel, self.shape_in[1:])
        power = transfer.abs().square()
        self._largest_gain = power.flatten(1).amax(1).sqrt().to(self.dtype.to_real())
        self._transfer = transfer.to(self.dtype.to_complex())
        self.power = power.to(self.dtype.to_real())

    @property
    def nominal_norm(self) -> Tensor:
        """‖A‖, the largest magnitude of the kernel's spectrum, ``(batch,)``."""
        return self._largest_gain

    @property
    def norm_bound(self) -> Tensor:
        """‖A‖, the largest magnitude of the kernel's spectrum, ``(batch,)``."""
        return self._largest_gain

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Self:
        """Return the operator on another device or in another precision.

        Its spectrum is computed anew from the kernel, so that it is exact in that precision.
        """
        kernel = self.kernel.to(device=device)
        return type(self)(kernel, self.shape_in, dtype=dtype or self.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve images with the kernel."""
        return self._filter(x, self._transfer)

    def adjoint(self, y: Tensor) -> Tensor:
        """Convolve measurements with the kernel's mirrored conjugate."""
        return self._filter(y, self._transfer.conj())

    def normal(self, x: Tensor) -> Tensor:
        """Apply AᴴA to images: one multiplication by ``|k̂|²`` in the Fourier domain."""
        self.check_input(x)
        return self._filter(x, self.power)

    def resolvent(self, c: Tensor, r: Tensor) -> Tensor:
        """Exact ``(I + c AᴴA)⁻¹ r``, a division in the Fourier domain."""
        self.check_input(r)
        return self._filter(r, 1 / (1 + per_sample(c, r) * self.power))

    def _filter(self, x: Tensor, transfer: Tensor) -> Tensor:
        if self.kernel.is_complex():
            x = x.to(self.dtype)
        return filter_circular(x, transfer, self.ndim)


def _transfer(kernel: Tensor, spatial: tuple[int, ...]) -> Tensor:
    """Spectrum of the kernel on the image's grid, in double precision, frequency 0 first."""
    size = kernel.shape[2:]
    dims = spatial_dims(len(spatial))
    precise = kernel.to(torch.complex128 if kernel.is_complex() else torch.float64)
    padding = [p for n, k in zip(spatial[::-1], size[::-1], strict=True) for p in (0, n - k)]
    padded = torch.nn.functional.pad(precise, padding)
    centred = torch.roll(padded, [-(k // 2) for k in size], dims)
    spectrum: Tensor = torch.fft.fftn(centred, dim=dims)
    return spectrum


def _check_kernel(kernel: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    check_parameter("kernel", kernel, shape)
    if any(k > n for k, n in zip(kernel.shape[2:], shape[1:], strict=True)):
        raise InputError(
            f"kernel has {tuple(kernel.shape[2:])} pixels, expected at most the image's "
            f"{tuple(shape[1:])}; give a smaller kernel or larger images"
        )
    if kernel.is_complex() and not dtype.is_complex:
        raise InputError(
            f"kernel is {kernel.dtype}, expected a real one for {dtype} images; give "
            "the images a complex dtype, or the real part of the kernel"
        )
    if not bool((kernel != 0).flatten(1).any(1).all()):
        raise InputError(
            "kernel is zero everywhere in a sample, expected one that measures; correct it"
        )
