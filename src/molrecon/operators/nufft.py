"""Fourier sums at any points of k-space, by the non-uniform FFT of finufft, with derivatives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from molrecon.operators.fourier import spatial_dims
from molrecon.optional import require

TOLERANCE = {torch.complex64: 1e-7, torch.complex128: 1e-15}
"""Accuracy asked of finufft, by the precision of the images.

All is computed in double precision: in single, the position of a sample alone would be wrong by
``2⁻²⁴π`` radians per pixel, 1e-5 of the image at 256 pixels.
"""

ROUNDING = 2.0**14
"""Error of a sum in double precision, in units of ``u``, of what its terms could add up to.

The error of a gridding with the kernels of finufft (Barnett, Magland and af Klinteberg 2019, SIAM
J. Sci. Comput. 41, C479) is at most ε of the sum of the magnitudes of its terms, and relative to
the norm of the transform it is the aliasing of the kernel, which is alike for all images. At the
tolerance of double precision 1e-14 of it is measured, rounding included; this is 180 times that.
"""


AREA_ITERATIONS = 10
"""Iterations of `SamplePoints.areas`: one more changes those of 40 spokes of 256² by 0.1 %."""


@dataclass(frozen=True, eq=False)
class SamplePoints:
    """Positions in k-space of every plane, and what follows from them.

    Parameters
    ----------
    radians
        float64 ``(planes or 1, axes, samples)``, radians per pixel.
    weights
        float64 ``(planes or 1, samples)``, weights of the squares of the samples; None for 1.
    shape
        Pixels of a plane.
    """

    radians: np.ndarray[Any, np.dtype[np.float64]]
    weights: Tensor | None
    shape: tuple[int, ...]
    _spectra: dict[tuple[torch.dtype, torch.device], Tensor] = field(default_factory=dict)

    @property
    def scale(self) -> float:
        """Factor that makes the sums at all points of the grid an orthonormal transform."""
        return 1 / math.sqrt(math.prod(self.shape))

    def sums(self, images: Tensor) -> Tensor:
        """Return ``Σ_r images(r) exp(−i ω·r) / √N``, ``(…, planes, samples)``.

        Parameters
        ----------
        images
            Complex ``(…, planes, *shape)``.
        """
        lead = images.shape[: -len(self.shape)]
        return self._run(2, images, (*lead, self.radians.shape[2]))

    def images(self, samples: Tensor) -> Tensor:
        """Return the adjoint, ``Σ_m samples(m) exp(+i ω_m·r) / √N``, ``(…, planes, *shape)``.

        Parameters
        ----------
        samples
            Complex ``(…, planes, samples)``.
        """
        return self._run(1, samples, (*samples.shape[:-1], *self.shape))

    def _run(self, kind: int, values: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Apply finufft to all planes; those with the same points at once."""
        finufft = require("finufft", "non-Cartesian scans", extra="nufft")
        eps = TOLERANCE[values.dtype]
        each = len(self.radians) > 1
        axis = len(shape) - (2 if kind == 2 else len(self.shape) + 1)
        given = values.detach().resolve_conj().to("cpu", torch.complex128)
        result = torch.empty(shape, dtype=torch.complex128)
        for number, points in enumerate(self.radians):
            part = given.select(axis, number) if each else given
            target = result.select(axis, number) if each else result
            rows = part.reshape(-1, *(self.shape if kind == 2 else part.shape[-1:])).contiguous()
            plan = finufft.Plan(
                kind,
                self.shape,
                n_trans=len(rows),
                eps=eps,
                isign=-1 if kind == 2 else 1,
                nthreads=torch.get_num_threads(),
            )
            plan.setpts(*points)
            found = np.asarray(
                plan.execute(rows.numpy().squeeze(0) if len(rows) == 1 else rows.numpy())
            )
            target.copy_(torch.from_numpy(found).reshape(target.shape))
        return result.mul_(self.scale).to(values.device, values.dtype)

    @cached_property
    def kernel_peak(self) -> float:
        """Value of the kernel of AᴴA at lag 0 without coil maps, the largest of all planes."""
        planes, _, count = self.radians.shape
        totals = torch.full((planes,), float(count), dtype=torch.float64)
        if self.weights is not None:
            totals = self.weights.sum(-1)
        return float(totals.max()) * self.scale**2

    @cached_property
    def spectrum(self) -> Tensor:
        """Spectrum of the kernel of AᴴA without coil maps, ``(planes or 1, *2n)``, float64.

        ``T(l) = Σ_m w_m exp(i ω_m·l) / N`` for lags ``|l| < n``; in a circle of ``2n`` it acts on
        images of n pixels as the Toeplitz matrix does. Lag n, which no two pixels have, is zero.
        """
        twice = tuple(2 * n for n in self.shape)
        lags = SamplePoints(self.radians, None, twice)
        planes, _, count = self.radians.shape
        weights = torch.ones(planes, count) if self.weights is None else self.weights
        kernel = lags.images(weights.to(torch.complex128)) / lags.scale * self.scale**2
        for dim in spatial_dims(len(twice)):
            kernel.select(dim, 0).zero_()
        dims = spatial_dims(len(twice))
        found: Tensor = torch.fft.fftn(torch.fft.ifftshift(kernel, dim=dims), dim=dims).real
        return found.contiguous()

    @cached_property
    def areas(self) -> Tensor:
        """How much of k-space each sample has to itself, ``(planes or 1, samples)``, float64.

        In points of the grid: 1 for each of these. Areas times a kernel of the width of one point,
        summed at a sample, are 1 there; they are found by dividing by these sums again and again
        (Pipe and Menon 1999, Magn. Reson. Med. 41, 179). The kernel is the square of a sinc, whose
        image is as wide as the lags within the field of view (Johnson and Pipe 2009, Magn. Reson.
        Med. 61, 439). A sample that has none near it has at most what the kernel covers.
        """
        twice = tuple(2 * n for n in self.shape)
        lags = SamplePoints(self.radians, None, twice)
        window = torch.ones((), dtype=torch.float64)
        for axis, n in enumerate(self.shape):
            along = 1 - (torch.arange(2 * n, dtype=torch.float64) - n).abs() / n
            window = window * along.reshape(-1, *[1] * (len(twice) - axis - 1))
        # In place of the factor of transforms of twice the size, that of the grid itself.
        window = window * self.scale**2 / lags.scale**2
        planes, _, count = self.radians.shape
        areas = torch.ones(planes, count, dtype=torch.float64)
        for _ in range(AREA_ITERATIONS):
            sums = lags.sums(window * lags.images(areas.to(torch.complex128))).real
            areas = areas / sums.clamp_min(torch.finfo(torch.float64).tiny)
        return areas

    def circulant(self, related: Tensor) -> Tensor:
        """Return the spectrum of the circulant nearest to AᴴA, ``(planes or 1, *n)``, float64.

        (T. Chan 1988, SIAM J. Sci. Stat. Comput. 9, 766.) Of all circular convolutions of n pixels
        it is the nearest in the Frobenius norm: each lag has the mean of AᴴA over all pairs of
        pixels that are so far apart, around the edge too. It is not negative.

        Parameters
        ----------
        related
            ``Σ_r S(r + l)ᴴ S(r)`` of the coil maps at lags l in a circle of 2n, over the number of
            pixels, ``(planes or 1, *2n)``.
        """
        dims = spatial_dims(len(self.shape))
        kernel = torch.fft.ifftn(self.spectrum, dim=dims) * related
        for dim, n in zip(dims, self.shape, strict=True):
            positive, negative = kernel.split(n, dim)
            kernel = positive + negative
        found: Tensor = torch.fft.fftn(kernel, dim=dims).real
        return found.clamp_min(0)

    def spectrum_for(self, like: Tensor) -> Tensor:
        """Return the spectrum as `filter_padded` takes it for images of a precision and device."""
        key = like.dtype, like.device
        if key not in self._spectra:
            # The inverse transforms of `filter_padded` are not divided by their number of points.
            found = self.spectrum / 2 ** len(self.shape) / math.prod(self.shape)
            for axis, n in reversed(list(enumerate(self.shape))):
                # Even and odd frequencies apart, the first axis in front.
                found = found.unflatten(axis - len(self.shape), (n, 2))
                found = found.movedim(axis - len(self.shape), 0)
            self._spectra[key] = found.to(like.device, like.real.dtype).contiguous()
        return self._spectra[key]


def filter_padded(x: Tensor, spectra: Tensor, axes: int) -> Tensor:
    """Convolve ``(…, *n)`` with a kernel of twice its size, by its spectrum.

    Of a transform of 2n, of n numbers and as many zeros, the even frequencies are the transform of
    the numbers, and the odd ones that of the numbers times half a frequency. So nothing is padded,
    transposed or cut. An axis is transformed within the ones before it, so that these are
    transformed for each of their own two halves alone: 12 transforms along lines in a plane, where
    Cartesian sampling takes 4. Eight of them are along the last axis, whose numbers lie side by
    side in memory, which takes half the time of other axes.

    Parameters
    ----------
    x
        Complex ``(…, *n)`` of at least ``axes`` axes.
    spectra
        The spectrum over ``(2n)ᵈ``, ``(2, … of every axis, planes, *n)``: its even and its odd
        frequencies.
    axes
        Number of axes d.
    """
    return _filter_along(x, spectra, range(-axes, 0))


def _filter_along(x: Tensor, spectra: Tensor, dims: Sequence[int]) -> Tensor:
    dim, *rest = dims
    half, back = _half_frequency(x.shape[dim], dim, x.dtype, x.device)
    parts: list[Tensor] = []
    for odd, spectrum in enumerate(spectra):
        k = torch.fft.fft(x * half if odd else x, dim=dim)
        k = _filter_along(k, spectrum, rest) if rest else k.mul_(spectrum)
        parts.append(torch.fft.ifft(k, dim=dim, norm="forward"))
    return parts[0].addcmul_(parts[1], back)


@lru_cache(maxsize=32)
def _half_frequency(
    n: int, dim: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return ``exp(−πi r/n)`` along an axis, and its conjugate."""
    angles = torch.arange(n, dtype=torch.float64) * (math.pi / n)
    wave = torch.polar(torch.ones_like(angles), angles).reshape(-1, *[1] * (-dim - 1))
    return wave.conj().resolve_conj().to(device, dtype), wave.to(device, dtype)


class _FourierSums(torch.autograd.Function):
    """`SamplePoints.sums` with its derivatives, which are its adjoint and itself."""

    @staticmethod
    def forward(images: Tensor, points: SamplePoints) -> Tensor:
        return points.sums(images)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, SamplePoints], output: Tensor) -> None:
        ctx.points = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gridded(gradient, ctx.points), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        return fourier_sums(tangent, ctx.points)


class _Gridded(torch.autograd.Function):
    """`SamplePoints.images` with its derivatives, likewise."""

    @staticmethod
    def forward(samples: Tensor, points: SamplePoints) -> Tensor:
        return points.images(samples)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, SamplePoints], output: Tensor) -> None:
        ctx.points = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return fourier_sums(gradient, ctx.points), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        return gridded(tangent, ctx.points)


def fourier_sums(images: Tensor, points: SamplePoints) -> Tensor:
    """Return the sums of `SamplePoints.sums`, differentiably."""
    found: Tensor = _FourierSums.apply(images, points)  # type: ignore[no-untyped-call]
    return found


def gridded(samples: Tensor, points: SamplePoints) -> Tensor:
    """Return the adjoint sums of `SamplePoints.images`, differentiably."""
    found: Tensor = _Gridded.apply(samples, points)  # type: ignore[no-untyped-call]
    return found


def radians_of(trajectory: Tensor, shape: Sequence[int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return ``(planes, axes, samples)`` in radians per pixel from cycles per field of view."""
    flat = trajectory.detach().to("cpu", torch.float64).flatten(1, -2)
    angles = flat * (2 * math.pi / torch.tensor(shape, dtype=torch.float64))
    return np.ascontiguousarray(angles.mT.numpy())
