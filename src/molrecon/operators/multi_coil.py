"""What multi-coil MRI operators share: evaluation in blocks of coils, along the sampled axes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from molrecon.errors import InputError
from molrecon.operators.base import LinearOperator, per_sample
from molrecon.operators.checks import check_tensor
from molrecon.operators.fourier import fft_centred, ifft_centred, spatial_dims
from molrecon.operators.noise import estimate_sigma
from molrecon.operators.sampled_axes import in_order, nearest_circulant, sampled_axes

BLOCK_BYTES = 2**22
"""Coil images that are worked on at once; one coil at least. See ``benchmarks/coil_blocks.py``."""


class MultiCoilMRI(LinearOperator):
    """Multi-coil MRI, ``A x = mask · FFT(coil_maps · x)`` over the last ``transformed`` axes.

    `CartesianMRI` and `DynamicMRI` are what a user makes.

    The transform is centred and orthonormal at the interface. Coils are worked on in blocks of
    `BLOCK_BYTES`, so ``A.normal`` and the adjoint need the memory of a few images, whatever the
    number of coils.

    Along an axis on which the mask does not vary, as along a readout, a transform and its inverse
    cancel in AᴴA: it transforms the others alone, in an order of memory in which they come last.

    Parameters
    ----------
    coil_maps
        Complex ``(batch or 1, coil, *spatial)``; an axis that is not transformed may have length 1
        and is then shared along it.
    mask
        Boolean or real ``(batch or 1, 1, *spatial)``.
    transformed
        Number of Fourier axes, the last ones.

    Examples
    --------
    >>> import torch
    >>> from molrecon import CartesianMRI, MultiCoilMRI
    >>> maps, mask = torch.ones(1, 2, 8, 8) + 0j, torch.ones(1, 1, 8, 8, dtype=torch.bool)
    >>> A = CartesianMRI(maps, mask)
    >>> isinstance(A, MultiCoilMRI), A.transformed
    (True, 2)
    """

    _of_every_sample = (
        "coil_maps",
        "mask",
        "_mask_squared",
        "_ordered_maps",
        "_circulant",
        "_support",
    )

    def __init__(self, coil_maps: Tensor, mask: Tensor, transformed: int) -> None:
        _check_arguments(coil_maps, mask, transformed)
        spatial = mask.shape[2:]
        super().__init__(
            (1, *spatial),
            (coil_maps.shape[1], *spatial),
            batch=max(coil_maps.shape[0], mask.shape[0]),
            dtype=coil_maps.dtype,
        )
        self.coil_maps = coil_maps
        # Weights in the precision of the maps: a conversion to a higher one keeps the operator.
        self.mask = mask if mask.dtype == torch.bool else mask.to(coil_maps.real.dtype)
        self.ndim = len(spatial)
        self.transformed = transformed
        self._sampled = sampled_axes(self.mask, transformed, coil_maps)
        self._ordered_maps = in_order(coil_maps, self._sampled)
        self._mask_squared = in_order(self._filter(), self._sampled)
        self._support = coil_support(coil_maps, spatial)
        self._known_noise: tuple[Tensor, Tensor] | None = None

    @property
    def support(self) -> Tensor | None:
        """Pixels where a coil map is not zero; None if that is so everywhere."""
        return self._support

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Self:
        """Return the operator on another device or in another (complex) precision."""
        maps = self.coil_maps.to(device=device, dtype=dtype or self.dtype)
        return type(self)(maps, self.mask.to(device=device))  # type: ignore[call-arg]

    def completed(self, x: Tensor, y: Tensor) -> Tensor:
        """Return ``x + Aᴴ(y − A x)``: the combined full scan, measured samples kept as they are.

        A full scan with noise n, combined with maps S of unit root sum of squares, is
        ``Sᴴ Fᴴ (F S x + n)``. Split into the samples at hand and the others, M + M̄ = 1, its
        expectation given y is ``Aᴴ y + Sᴴ Fᴴ M̄ F S E[x|y] = Aᴴ y + (I − AᴴA) E[x|y]``, since noise
        that was not measured averages out. So the best prediction of the full scan follows from
        the best estimate of the image, and holds the noise of the measured samples.
        """
        # Of an image in double precision all of it is computed in that.
        return x + self.mismatch(x, y)

    @property
    def completion_gain(self) -> Tensor:
        """Bound on ``‖I − AᴴA‖``: 1 for maps of a root sum of squares up to √2."""
        return (self._squared_bound - 1).clamp_min(1)

    @property
    def nominal_norm(self) -> Tensor:
        """1, ``(batch,)``: that of coil maps of unit root sum of squares, by convention."""
        return torch.ones(self.batch, dtype=self.dtype.to_real(), device=self.device)

    @property
    def norm_bound(self) -> Tensor:
        """Bound on ‖A‖: largest root sum of squares of the maps times the largest mask weight."""
        return self._squared_bound.sqrt()

    @property
    def _squared_bound(self) -> Tensor:
        # A norm over coils takes ten times as long as the sum of its squares.
        power = (self.coil_maps.real.square() + self.coil_maps.imag.square()).sum(1)
        bound: Tensor = power.flatten(1).amax(1) * self._mask_squared.flatten(1).amax(1)
        return bound

    def estimate_sigma(self, y: Tensor) -> Tensor:
        """Estimate sigma from k-space; see `estimate_sigma`. Of a series it is that of all frames.

        Where it was found already for these measurements (`remember_sigma`) it is that.
        """
        self.H.check_input(y)
        if self._known_noise is not None and self._known_noise[0] is y:
            return self._known_noise[1]
        return self._estimated_sigma(y)

    def remember_sigma(self, y: Tensor, sigma: Tensor) -> None:
        """Keep what `estimate_sigma` finds in measurements, so that it need not look twice.

        Parameters
        ----------
        y
            Measurements ``(batch, *shape_out)``. It is known by its identity: another tensor of
            the same values is looked at, and this one must not be changed in place.
        sigma
            What was estimated from them with the same mask, ``(batch,)``.
        """
        self._known_noise = y, sigma.to(y.device)

    def _estimated_sigma(self, y: Tensor) -> Tensor:
        return estimate_sigma(y, self.mask)

    def _filter(self) -> Tensor:
        """What AᴴA multiplies spectra with, of length 1 on axes that it does not transform."""
        dims = spatial_dims(self.transformed)
        # A circular filter commutes with shifts: AᴴA needs a shifted mask, and no shifted image.
        squared: Tensor = torch.fft.ifftshift(self.mask.to(self.dtype.to_real()), dim=dims).square()
        for axis in set(dims) - set(self._sampled):
            squared = squared.narrow(axis, 0, 1)
        return squared

    def preconditioner(self, c: Tensor) -> Callable[[Tensor], Tensor] | None:
        """Return ``(I + cC)⁻¹`` with the circular convolution C that is nearest to AᴴA.

        It knows how densely the frequencies are sampled, and how far the coil maps fill the gaps;
        images are those of the `support`, and nothing is done outside.

        Parameters
        ----------
        c
            Non-negative weight of every sample, ``(batch,)``.
        """
        dims = spatial_dims(len(self._sampled))
        if not dims:
            return None
        inverse = 1 / (1 + per_sample(c, self._circulant) * self._circulant.to(c.dtype))
        support = self.support

        def apply(r: Tensor) -> Tensor:
            inside = in_order(r if support is None else r * support, self._sampled)
            k = torch.fft.fftn(inside, dim=dims).mul_(inverse)
            image: Tensor = torch.fft.ifftn(k, dim=dims).movedim(dims, self._sampled)
            return image.contiguous() if support is None else torch.where(support, image, r)

        return apply

    @cached_property
    def _circulant(self) -> Tensor:
        """Spectrum of the preconditioner, in the order of AᴴA; see `nearest_circulant`."""
        maps, sampled = self._ordered_maps.detach(), len(self._sampled)
        sets = maps if maps.ndim > self.ndim + 2 else maps[:, None]
        return nearest_circulant(sets, self._mask_squared, self.transformed, sampled)

    def _blocks(self, batch: int) -> Iterator[slice]:
        coils, *spatial = self.shape_out
        one = batch * torch.Size(spatial).numel() * self.coil_maps.element_size()
        return coil_blocks(coils, one)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sampled k-space of all coils."""
        parts = [
            fft_centred(self._coil_images(self.coil_maps, x, block), self.transformed).mul_(
                self.mask
            )
            for block in self._blocks(x.shape[0])
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def adjoint(self, y: Tensor) -> Tensor:
        """Return the zero-filled image, combined over coils."""
        image: Tensor | None = None
        for block in self._blocks(y.shape[0]):
            coils = ifft_centred(self.mask * y[:, block], self.transformed)
            image = add_block(image, self._combined(self.coil_maps, coils, block))
        assert image is not None
        return image

    def normal(self, x: Tensor) -> Tensor:
        """Apply AᴴA to images, block by block of coils, without shifts and along sampled axes."""
        self.check_input(x)
        image: Tensor | None = None
        x, dims = in_order(x, self._sampled), spatial_dims(len(self._sampled))
        maps = self._ordered_maps
        for block in self._blocks(x.shape[0]):
            coils = self._coil_images(maps, x, block)
            if dims:
                k = torch.fft.fftn(coils, dim=dims, norm="ortho").mul_(self._mask_squared)
                coils = torch.fft.ifftn(k, dim=dims, norm="ortho")
            else:
                coils = coils.mul_(self._mask_squared)
            image = add_block(image, self._combined(maps, coils, block))
        assert image is not None
        return image.movedim(dims, self._sampled).contiguous()

    def mismatch(self, x: Tensor, y: Tensor) -> Tensor:
        """Return ``Aᴴ(y − Ax)``, block by block of coils."""
        self.check_input(x)
        image: Tensor | None = None
        for block in self._blocks(x.shape[0]):
            coils = self._coil_images(self.coil_maps, x, block)
            k = fft_centred(coils, self.transformed).mul_(self.mask)
            coils = ifft_centred(self.mask * (y[:, block] - k), self.transformed)
            image = add_block(image, self._combined(self.coil_maps, coils, block))
        assert image is not None
        return image

    @property
    def for_double(self) -> LinearOperator:
        """The operator itself if the mask is boolean: products with maps take the precision.

        The squares of weights are rounded to that of the maps.
        """
        return self if self.mask.dtype == torch.bool else self.in_double

    def _coil_images(self, maps: Tensor, x: Tensor, block: slice) -> Tensor:
        return maps[:, block] * x

    def _combined(self, maps: Tensor, coils: Tensor, block: slice) -> Tensor:
        """Return ``Σ conj(maps) · coils``; the coil images, which are overwritten, are conjugated.

        To conjugate the maps would take memory for a second copy of them.
        """
        return coils.conj_physical_().mul_(maps[:, block]).sum(1, keepdim=True).conj_physical_()


def coil_blocks(coils: int, size: int) -> Iterator[slice]:
    """Cut coils, each of ``size`` bytes, into blocks, each as large as `BLOCK_BYTES` allow."""
    block = max(1, BLOCK_BYTES // size)
    return (slice(start, start + block) for start in range(0, coils, block))


def add_block(image: Tensor | None, part: Tensor) -> Tensor:
    """Add the part of a block of coils to the image of those before, None for the first."""
    return part if image is None else image.add_(part)


def coil_support(coil_maps: Tensor, spatial: Sequence[int]) -> Tensor | None:
    """Pixels where a coil map is not zero; None if that is so everywhere."""
    seen = (coil_maps != 0).any(dim=1, keepdim=True)
    return None if bool(seen.all()) else seen.expand(-1, -1, *spatial)


def check_coil_maps(coil_maps: Tensor) -> None:
    """Check that coil maps are a complex tensor ``(batch, coil, *spatial)``."""
    check_tensor("coil_maps", coil_maps)
    if not coil_maps.is_complex() or coil_maps.ndim < 3 or not coil_maps.numel():
        raise InputError(
            f"coil_maps is {coil_maps.dtype} of shape {tuple(coil_maps.shape)}, expected a complex "
            "tensor (batch, coil, *spatial) that is not empty; convert or reshape it"
        )


def _check_arguments(coil_maps: Tensor, mask: Tensor, transformed: int) -> None:
    check_coil_maps(coil_maps)
    check_tensor("mask", mask)
    if mask.is_complex() or mask.ndim != coil_maps.ndim or mask.shape[1] != 1:
        raise InputError(
            f"mask is {mask.dtype} of shape {tuple(mask.shape)} and coil_maps has shape "
            f"{tuple(coil_maps.shape)}, expected a real or boolean mask (batch, 1, *spatial) and "
            "maps (batch, coil, *spatial) with the same spatial axes; convert or reshape one"
        )
    shared = tuple(
        n if n == 1 else m
        for n, m in zip(coil_maps.shape[2:-transformed], mask.shape[2:-transformed], strict=True)
    )
    if coil_maps.shape[2:] != (*shared, *mask.shape[-transformed:]):
        raise InputError(
            f"mask has spatial shape {tuple(mask.shape[2:])}, but the coil maps have "
            f"{tuple(coil_maps.shape[2:])}; give both for the same k-space"
        )
    if 1 not in (mask.shape[0], coil_maps.shape[0]) and mask.shape[0] != coil_maps.shape[0]:
        raise InputError(
            f"mask has a batch of {mask.shape[0]}, but the coil maps have {coil_maps.shape[0]}, "
            "expected equal numbers or 1; give both for the same samples"
        )
    for name, tensor in (("coil_maps", coil_maps), ("mask", mask)):
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(
                f"{name} holds NaN or infinite values, expected finite ones; correct it"
            )
