"""Convolution kernels for `Blur` and `SuperResolution`: separable, of sum 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

from molrecon.errors import InputError

CUBIC = -0.5
"""Free parameter of the cubic convolution kernel; this value gives third-order accuracy (Keys)."""


def gaussian_kernel(
    std: float | Sequence[float],
    ndim: int = 2,
    *,
    size: int | Sequence[int] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return a sampled Gaussian of sum 1, ``(1, 1, *size)``.

    Parameters
    ----------
    std
        Standard deviation in pixels, one number or one for every axis.
    ndim
        Number of spatial axes.
    size
        Length in pixels, one number or one for every axis; by default odd and up to 3 standard
        deviations on either side. An even length centres the kernel between two pixels.
    dtype
        Of the kernel, float32 or float64.

    Raises
    ------
    InputError
        If a standard deviation or a length is not positive, or there are not ``ndim`` of them.

    Examples
    --------
    >>> from molrecon import gaussian_kernel
    >>> gaussian_kernel(0.5, ndim=1, size=3)
    tensor([[[0.1065, 0.7870, 0.1065]]])
    """
    deviations = _per_axis("std", std, ndim)
    if not all(0 < s < math.inf for s in deviations):
        raise InputError(f"std is {std}, expected positive numbers of pixels; correct it")
    default = [2 * math.ceil(3 * s) + 1 for s in deviations]
    lengths = default if size is None else _lengths("size", size, ndim)
    return _separable(
        [
            torch.exp(-(_positions(n) ** 2) / (2 * s**2))
            for n, s in zip(lengths, deviations, strict=True)
        ],
        dtype,
    )


def box_kernel(
    size: int | Sequence[int], ndim: int = 2, *, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return the kernel of a mean over a box of ``size`` pixels, ``(1, 1, *size)``.

    With the factor as the size, `SuperResolution` measures the means of blocks of pixels.

    Parameters
    ----------
    size
        Length in pixels, one number or one for every axis.
    ndim
        Number of spatial axes.
    dtype
        Of the kernel, float32 or float64.

    Raises
    ------
    InputError
        If a length is not a positive integer, or there are not ``ndim`` of them.

    Examples
    --------
    >>> from molrecon import box_kernel
    >>> box_kernel((1, 4))
    tensor([[[[0.2500, 0.2500, 0.2500, 0.2500]]]])
    """
    lengths = _lengths("size", size, ndim)
    return _separable([torch.ones(n, dtype=torch.float64) for n in lengths], dtype)


def bicubic_kernel(
    factor: int | Sequence[int], ndim: int = 2, *, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return the cubic convolution kernel stretched by ``factor``, of sum 1, ``(1, 1, *size)``.

    (Keys, IEEE TASSP 1981, with a = −1/2.) It removes most aliases before decimation, and is the
    kernel of common image libraries when they shrink an image, with ``4·factor`` pixels along an
    axis of even factor and ``4·factor − 1`` along one of odd factor.

    Parameters
    ----------
    factor
        Decimation factor, one number or one for every axis.
    ndim
        Number of spatial axes.
    dtype
        Of the kernel, float32 or float64.

    Raises
    ------
    InputError
        If a factor is not a positive integer, or there are not ``ndim`` of them.

    Examples
    --------
    >>> from molrecon import bicubic_kernel
    >>> bicubic_kernel(2, ndim=1)[0, 0, :4]
    tensor([-0.0117, -0.0352,  0.1133,  0.4336])
    """
    factors = _lengths("factor", factor, ndim)
    return _separable([_cubic(_positions(4 * d - d % 2) / d) for d in factors], dtype)


def _positions(length: int) -> Tensor:
    """Return the distances of pixels to the middle of the kernel."""
    return torch.arange(length, dtype=torch.float64) - (length - 1) / 2


def _cubic(t: Tensor) -> Tensor:
    t = t.abs()
    near = (CUBIC + 2) * t**3 - (CUBIC + 3) * t**2 + 1
    far = CUBIC * (t**3 - 5 * t**2 + 8 * t - 4)
    return torch.where(t <= 1, near, torch.where(t < 2, far, torch.zeros_like(t)))


def _separable(profiles: list[Tensor], dtype: torch.dtype) -> Tensor:
    kernel = reduce(lambda a, b: a[..., None] * b, [p / p.sum() for p in profiles])
    return kernel[None, None].to(dtype)


def _per_axis(name: str, values: float | Sequence[float], ndim: int) -> list[float]:
    if isinstance(values, Sequence):
        if len(values) != ndim:
            raise InputError(
                f"{name} is {values}, expected one number or {ndim}, one per axis; give as many"
            )
        return list(values)
    if ndim < 1:
        raise InputError(f"ndim is {ndim}, expected at least 1 spatial axis; 2 for images")
    return [values] * ndim


def _lengths(name: str, values: int | Sequence[int], ndim: int) -> list[int]:
    lengths = _per_axis(name, values, ndim)
    if not all(isinstance(n, int) and n >= 1 for n in lengths):
        raise InputError(f"{name} is {values}, expected positive integers; correct it")
    return [int(n) for n in lengths]
