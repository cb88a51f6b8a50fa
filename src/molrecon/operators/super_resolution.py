"""Super-resolution: a blurred image of which every d-th pixel is measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from molrecon.errors import InputError
from molrecon.operators.base import LinearOperator, per_sample
from molrecon.operators.blur import Blur
from molrecon.operators.checks import image_shape
from molrecon.operators.fourier import filter_circular
from molrecon.operators.kernels import bicubic_kernel


class SuperResolution(LinearOperator):
    r"""Blur and decimation, ``A x = (kernel ∗ x)[o::d, o::d, …]`` with ``o = (d − 1) // 2``.

    The convolution is circular: opposite borders of the image are neighbours. A kernel whose length
    is odd like the factor or even like it puts the measured pixels at the centres of blocks of d
    pixels. The measured image is in the unit of the image (a constant one keeps its value), so
    ``‖A‖² ≈ 1/(d₁d₂…)``.

    Where every length n is a multiple of its factor, AAᴴ is a circular convolution too, on the
    small grid. Its eigenvalue at frequency q is the mean of ``|k̂|²`` over the frequencies q + jn/d
    that decimation folds onto q; call it ``μ(q)``. Then (Woodbury)

    ``(I + cAᴴA)⁻¹ r = r − c Aᴴ F⁻¹ diag(1 / (1 + cμ)) F A r``

    (Zhao, Wei, Basarab, Dobigeon, Kouamé, Tourneret, IEEE TIP 2016, who diagonalise the same blocks
    of the normal equations). Otherwise the samples are not a subgroup of the circular grid, there
    is no such form and `resolvent` is None.

    Parameters
    ----------
    shape
        ``(channel, *spatial)`` of the images to reconstruct; no length has to be a multiple of the
        factor, and none may be smaller.
    factor
        Decimation factor d, one positive integer or one for every spatial axis.
    kernel
        Anti-aliasing kernel, real or complex ``(batch or 1, channel or 1, *size)``; by default
        `bicubic_kernel` of the factor.
    dtype
        Of the images: float32, float64, complex64 or complex128; by default that of the kernel.

    Attributes
    ----------
    factor
        Decimation factor of every spatial axis.
    blur
        The convolution, a `Blur`.

    Raises
    ------
    InputError
        If the factor is not a positive integer or larger than the image, or the kernel does not
        fit, is larger than the image, zero, not finite, or complex for real images.

    Examples
    --------
    >>> import torch
    >>> from molrecon import SuperResolution, box_kernel
    >>> A = SuperResolution((1, 4, 6), 2, box_kernel(2))
    >>> A.shape_out
    (1, 2, 3)
    >>> A(torch.ones(1, 1, 4, 6)).mean().round(decimals=4)
    tensor(1.)
    """

    _of_every_sample = ("blur", "_folded_power")

    def __init__(
        self,
        shape: Sequence[int],
        factor: int | Sequence[int],
        kernel: Tensor | None = None,
        *,
        dtype: torch.dtype | None = None,
    ) -> None:
        channels, *spatial = image_shape(shape)
        self.factor = _factors(factor, spatial)
        if kernel is None:
            precision = (dtype or torch.float32).to_real()
            kernel = bicubic_kernel(self.factor, len(spatial), dtype=precision)
        self.blur = Blur(kernel, shape, dtype=dtype)
        samples = [slice((d - 1) // 2, None, d) for d in self.factor]
        kept = [len(range(n)[s]) for n, s in zip(spatial, samples, strict=True)]
        super().__init__(
            self.blur.shape_in, (channels, *kept), batch=self.blur.batch, dtype=self.blur.dtype
        )
        self._samples = (slice(None), slice(None), *samples)
        whole = all(n % d == 0 for n, d in zip(spatial, self.factor, strict=True))
        self._folded_power = _folded(self.blur.power, self.factor) if whole else None

    @property
    def nominal_norm(self) -> Tensor:
        """Norm of the blur times the root of the share of pixels kept, ``(batch,)``.

        It is ‖A‖ where the kernel removes all aliases of its strongest frequency, and less where
        it does not.
        """
        share = math.prod(self.shape_out) / math.prod(self.shape_in)
        return self.blur.nominal_norm * math.sqrt(share)

    @property
    def norm_bound(self) -> Tensor:
        """Bound on ‖A‖, ``(batch,)``; it is ‖A‖ where every length is a multiple of its factor.

        AAᴴ then has the eigenvalues μ. Otherwise it is ‖A‖ of the blur: pixels are only left out.
        """
        if self._folded_power is None:
            return self.blur.norm_bound
        return self._folded_power.flatten(1).amax(1).sqrt()

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Self:
        """Return the operator on another device or in another precision, made anew."""
        kernel = self.blur.kernel.to(device=device)
        return type(self)(self.shape_in, self.factor, kernel, dtype=dtype or self.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Blur images and keep every d-th pixel."""
        return self.blur.forward(x)[self._samples]

    def adjoint(self, y: Tensor) -> Tensor:
        """Put measurements into an image of zeros and apply the blur's adjoint."""
        image = y.new_zeros(y.shape[0], *self.shape_in)
        image[self._samples] = y
        return self.blur.adjoint(image)

    def resolvent(self, c: Tensor, r: Tensor) -> Tensor | None:
        """Exact ``(I + c AᴴA)⁻¹ r``; None where a length is not a multiple of its factor."""
        self.check_input(r)
        if self._folded_power is None:
            return None
        weight = per_sample(c, r)
        small = filter_circular(
            self.forward(r), weight / (1 + weight * self._folded_power), self.blur.ndim
        )
        return r - self.adjoint(small)


def _folded(power: Tensor, factors: tuple[int, ...]) -> Tensor:
    """Mean over the frequencies that decimation folds onto each other."""
    for axis, factor in enumerate(factors, start=2):
        before, (length, *after) = power.shape[:axis], power.shape[axis:]
        power = power.reshape(*before, factor, length // factor, *after).mean(axis)
    return power


def _factors(factor: int | Sequence[int], spatial: list[int]) -> tuple[int, ...]:
    factors = tuple(factor) if isinstance(factor, Sequence) else (factor,) * len(spatial)
    if len(factors) != len(spatial) or any(not isinstance(d, int) or d < 1 for d in factors):
        raise InputError(
            f"factor is {factor}, expected a positive integer or {len(spatial)}, one per axis; "
            "correct it"
        )
    if any(d > n for d, n in zip(factors, spatial, strict=True)):
        raise InputError(
            f"the image has {tuple(spatial)} pixels, expected at least the factor {factors}; give "
            "the shape of the image to reconstruct, not of the measured one"
        )
    return factors
