"""Multi-coil MRI along any trajectory: radial, spiral, stack of stars, frame by frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from molrecon.errors import InputError
from molrecon.operators import nufft
from molrecon.operators.base import LinearOperator, per_sample
from molrecon.operators.checks import check_tensor
from molrecon.operators.fourier import fft_centred, ifft_centred, spatial_dims
from molrecon.operators.line_noise import estimate_lines_noise
from molrecon.operators.multi_coil import (
    add_block,
    check_coil_maps,
    coil_blocks,
    coil_support,
)
from molrecon.operators.nufft import SamplePoints, filter_padded, fourier_sums, gridded
from molrecon.operators.toeplitz_norm import NormEstimate, estimate_norm

BEYOND = 1 + 1e-4
"""Samples may lie so far beyond the edge of k-space, relative to it, because of rounding."""


class NonCartesianMRI(LinearOperator):
    """Multi-coil MRI at any points of k-space, ``A x = √w · Σ_r exp(−2πi k·r/n) (S x)(r) / √N``.

    r counts pixels from the one at index ``n // 2`` of each axis, N is their number in a plane, and
    S are the coil maps. At all points of the grid this is the orthonormal transform of
    `CartesianMRI`; where samples lie denser, AᴴA is larger by as much. The sums are those of
    finufft (the extra ``nufft``), and ``A.normal`` is two transforms of twice the size.

    Parameters
    ----------
    coil_maps
        Complex ``(batch or 1, coil, *spatial)``; of frames that share them ``(batch or 1, coil, 1,
        y, x)``.
    trajectory
        Positions of the samples, real ``(*samples, axes)`` in cycles per field of view, in the
        order of the spatial axes: along an axis of n pixels they lie within ``±n/2``. With one
        spatial axis more than ``axes``, as of frames ``(t, y, x)``, it is ``(planes or 1, *samples,
        axes)``, the positions of each plane or of all of them alike.
    weights
        Weights w of the squares of the samples, real and not negative, of the shape of the
        trajectory without its last axis; None for 1. Measurements are multiplied by their roots:
        see `weighted`.
    stacked
        Whether the first spatial axis was encoded by steps, as of a stack of stars: a centred
        orthonormal transform along it comes first, and planes are those of its k-space.

    Raises
    ------
    InputError
        If the shapes do not fit, a value is NaN, infinite or negative where it must not be, or a
        sample lies outside k-space.

    Examples
    --------
    >>> import torch
    >>> from molrecon import NonCartesianMRI, radial_trajectory, simulate_coil_maps
    >>> maps = simulate_coil_maps((32, 32), 4, generator=torch.Generator().manual_seed(0))
    >>> A = NonCartesianMRI(maps[None], radial_trajectory((32, 32), spokes=20))
    >>> A
    NonCartesianMRI(shape_in=(1, 32, 32), shape_out=(4, 20, 64), dtype=complex64)
    >>> x, y = torch.randn(1, 1, 32, 32) + 0j, torch.randn(1, 4, 20, 64) + 0j
    >>> bool((torch.vdot(A(x).flatten(), y.flatten()) - torch.vdot(x.flatten(), A.H(y).flatten()))
    ...      .abs() < 1e-3)
    True
    """

    rounding = nufft.ROUNDING
    _of_every_sample = ("coil_maps", "_support", "_circulant")

    def __init__(
        self,
        coil_maps: Tensor,
        trajectory: Tensor,
        weights: Tensor | None = None,
        *,
        stacked: bool = False,
    ) -> None:
        _check_arguments(coil_maps, trajectory, weights, stacked)
        axes, spatial = trajectory.shape[-1], list(coil_maps.shape[2:])
        samples = tuple(trajectory.shape[:-1])
        if len(spatial) > axes:
            spatial[0] = max(spatial[0], len(trajectory))
            samples = (spatial[0], *samples[1:])
        super().__init__(
            (1, *spatial),
            (coil_maps.shape[1], *samples),
            batch=coil_maps.shape[0],
            dtype=coil_maps.dtype,
        )
        self.coil_maps = coil_maps
        # Positions and weights stay as exact as they were given, in every precision of the images.
        self.trajectory = trajectory.to(torch.float64)
        self.weights = None if weights is None else weights.to(torch.float64)
        self.stacked, self.axes = stacked, axes
        self._planes = len(spatial) > axes
        self.points = self._points()
        self._support = coil_support(coil_maps, spatial)

    @property
    def support(self) -> Tensor | None:
        """Pixels where a coil map is not zero; None if that is so everywhere."""
        return self._support

    @property
    def for_double(self) -> LinearOperator:
        """The operator itself: its positions are in double precision, and products take it."""
        return self

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Self:
        """Return the operator on another device or in another (complex) precision."""
        maps = self.coil_maps.to(device=device, dtype=dtype or self.dtype)
        made = type(self)(maps, self.trajectory, self.weights, stacked=self.stacked)
        made.points = self.points
        if "_norm" in vars(self):
            vars(made)["_norm"] = self._norm
        return made

    def for_samples(self, samples: Tensor) -> LinearOperator | None:
        """Return the operator of some samples of the batch, with its norm if that is known."""
        part = super().for_samples(samples)
        if part is not None and part is not self and "_norm" in vars(self):
            own = self._norm
            vars(part)["_norm"] = NormEstimate(own.lower[samples], own.upper[samples])
        return part

    def weighted(self, y: Tensor) -> Tensor:
        """Return the samples ``(batch, *shape_out)`` times the roots of their weights."""
        roots = self._roots(y)
        return y if roots is None else y * roots

    def forward(self, x: Tensor) -> Tensor:
        """Return the samples of all coils."""
        parts = [self._sums(self.coil_maps[:, block] * x) for block in self._blocks(x.shape[0])]
        return self.weighted(parts[0] if len(parts) == 1 else torch.cat(parts, dim=1))

    def adjoint(self, y: Tensor) -> Tensor:
        """Return the gridded image, combined over coils, without compensation of the density."""
        image: Tensor | None = None
        roots = self._roots(y)
        for block in self._blocks(y.shape[0]):
            part = y[:, block] if roots is None else y[:, block] * roots
            coils = self._in_planes(part).flatten(3)
            images = gridded(coils, self.points)
            images = ifft_centred_first(images, self.axes) if self.stacked else images
            image = add_block(image, self._combined(images, block))
        assert image is not None
        return image

    def zero_filled(self, y: Tensor) -> Tensor:
        """Return the gridded image, every sample counted as much as it has of k-space to itself.

        Given weights are taken for that compensation of the density; by default it is that of
        `SamplePoints.areas`.

        Parameters
        ----------
        y
            Measurements ``(batch, *shape_out)``.
        """
        if self.weights is not None:
            return self.H(y)
        areas = self.points.areas.reshape(self.trajectory.shape[:-1])
        return self.H(y * areas.to(y.device, y.real.dtype))

    def normal(self, x: Tensor) -> Tensor:
        """Apply AᴴA to images by transforms of twice the size (Toeplitz embedding)."""
        self.check_input(x)
        spectra = self.points.spectrum_for(x)
        # Transforms along the planes cancel where these were sampled alike.
        along = self.stacked and len(self.points.radians) > 1
        image: Tensor | None = None
        for block in self._blocks(x.shape[0]):
            coils = self._in_planes(self.coil_maps[:, block] * x)
            coils = fft_centred_first(coils, self.axes) if along else coils
            coils = filter_padded(coils, spectra, self.axes)
            coils = ifft_centred_first(coils, self.axes) if along else coils
            image = add_block(image, self._combined(coils, block))
        assert image is not None
        return image

    def preconditioner(self, c: Tensor) -> Callable[[Tensor], Tensor] | None:
        """Return ``(I + cC)⁻¹`` with the circular convolution C that is nearest to AᴴA.

        It knows the density of the samples, which makes AᴴA ill-conditioned where they crowd at
        the centre, and how far the coil maps fill the gaps between them.

        Parameters
        ----------
        c
            Non-negative weight of every sample, ``(batch,)``.
        """
        if self.stacked and len(self.points.radians) > 1:
            return None
        dims = spatial_dims(self.axes)
        inverse = 1 / (1 + per_sample(c, self._circulant) * self._circulant.to(c.dtype))

        def apply(r: Tensor) -> Tensor:
            k = torch.fft.fftn(r, dim=dims).mul_(inverse)
            image: Tensor = torch.fft.ifftn(k, dim=dims)
            return image

        return apply

    @cached_property
    def _circulant(self) -> Tensor:
        """Spectrum of the preconditioner, ``(batch or 1, 1, *shape_in)`` or 1 for the planes."""
        dims, maps = spatial_dims(self.axes), self._in_planes(self.coil_maps.detach())
        shape = self.shape_in[-self.axes :]
        power = torch.zeros(1, dtype=self.dtype.to_real(), device=self.device)
        for coil in maps.unbind(1):
            k = torch.fft.fftn(coil, [2 * n for n in shape], dims)
            power = power + k.abs().square()
        related = torch.fft.ifftn(power / math.prod(shape), dim=dims).conj()
        found = self.points.circulant(related.to("cpu", torch.complex128))
        found = found if self._planes else found.squeeze(1)
        return found.unsqueeze(1).to(self.device)

    @cached_property
    def _norm(self) -> NormEstimate:
        return estimate_norm(self)

    @property
    def nominal_norm(self) -> Tensor:
        """About ‖A‖, from below, ``(batch,)``."""
        return self._norm.lower.to(self.device, self.dtype.to_real())

    @property
    def norm_bound(self) -> Tensor:
        """Proved bound on ‖A‖, ``(batch or 1,)``; see `molrecon.operators.toeplitz_norm`."""
        return self._norm.upper.to(self.device, self.dtype.to_real())

    def estimate_sigma(self, y: Tensor) -> Tensor:
        """Estimate the noise of a sample, ``(batch,)``: see `estimate_lines_noise`.

        Parameters
        ----------
        y
            Measurements ``(batch, *shape_out)``, times the roots of the weights if there are any;
            the level is that of samples of weight 1.
        """
        roots = self._roots(y)
        if roots is not None:
            y = torch.where(roots > 0, y / roots.where(roots > 0, 1), 0)
        return estimate_lines_noise(y, self.trajectory.norm(dim=-1)).sigma

    def _points(self) -> SamplePoints:
        """Return the positions as the transforms take them, plane by plane."""
        trajectory = self._with_planes(self.trajectory)
        weights = self.weights
        if weights is not None:
            weights = self._with_planes(weights).flatten(1).cpu()
        shape = self.shape_in[-self.axes :]
        return SamplePoints(nufft.radians_of(trajectory, shape), weights, shape)

    def _with_planes(self, positions: Tensor) -> Tensor:
        return positions if self._planes else positions[None]

    def _roots(self, like: Tensor) -> Tensor | None:
        if self.weights is None:
            return None
        return self.weights.sqrt().to(like.device, like.real.dtype)

    def _in_planes(self, values: Tensor) -> Tensor:
        """Return ``(batch, coil, planes, …)`` of values with or without an axis of planes."""
        return values if self._planes else values.unsqueeze(2)

    def _sums(self, coils: Tensor) -> Tensor:
        coils = self._in_planes(coils)
        coils = fft_centred_first(coils, self.axes) if self.stacked else coils
        return fourier_sums(coils, self.points).reshape(*coils.shape[:2], *self.shape_out[1:])

    def _combined(self, coils: Tensor, block: slice) -> Tensor:
        coils = coils if self._planes else coils.squeeze(2)
        return coils.mul_(self.coil_maps[:, block].conj()).sum(1, keepdim=True)

    def _blocks(self, batch: int) -> Iterator[slice]:
        # Of what a filter holds beside them, so that it stays in the cache.
        one = batch * torch.Size(self.shape_in).numel() * self.coil_maps.element_size()
        return coil_blocks(self.shape_out[0], one * 2 ** (self.axes + 1))


def fft_centred_first(x: Tensor, axes: int) -> Tensor:
    """Centred orthonormal FFT over the one axis in front of the last ``axes``."""
    return fft_centred(x.movedim(-axes - 1, -1), 1).movedim(-1, -axes - 1)


def ifft_centred_first(k: Tensor, axes: int) -> Tensor:
    """Inverse (and adjoint) of `fft_centred_first`."""
    return ifft_centred(k.movedim(-axes - 1, -1), 1).movedim(-1, -axes - 1)


def _check_arguments(
    coil_maps: Tensor, trajectory: Tensor, weights: Tensor | None, stacked: bool
) -> None:
    check_coil_maps(coil_maps)
    check_tensor("trajectory", trajectory)
    if not trajectory.is_floating_point() or trajectory.ndim < 2 or not trajectory.numel():
        raise InputError(
            f"trajectory is {trajectory.dtype} of shape {tuple(trajectory.shape)}, expected real "
            "positions (*samples, axes) that are not empty; convert or reshape it"
        )
    _check_axes(coil_maps, trajectory, stacked)
    _check_values(coil_maps, trajectory, weights)


def _check_axes(coil_maps: Tensor, trajectory: Tensor, stacked: bool) -> None:
    spatial, axes = coil_maps.shape[2:], trajectory.shape[-1]
    more = len(spatial) - axes
    if more not in (0, 1) or axes > 3 or (more and trajectory.ndim < 3) or (stacked and not more):
        raise InputError(
            f"trajectory has shape {tuple(trajectory.shape)} and coil_maps has "
            f"{tuple(coil_maps.shape)}, expected as many axes of k-space as spatial ones, or one "
            f"fewer and planes first{', as of a stack' if stacked else ''}; reshape one"
        )
    if more and 1 not in (len(trajectory), spatial[0]) and len(trajectory) != spatial[0]:
        raise InputError(
            f"trajectory has {len(trajectory)} planes, but the coil maps have {spatial[0]}, "
            "expected equal numbers or 1; give both for the same scan"
        )


def _check_values(coil_maps: Tensor, trajectory: Tensor, weights: Tensor | None) -> None:
    for name, tensor in (("coil_maps", coil_maps), ("trajectory", trajectory)):
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(
                f"{name} holds NaN or infinite values, expected finite ones; correct it"
            )
    axes = trajectory.shape[-1]
    lengths = torch.tensor(coil_maps.shape[-axes:], dtype=torch.float64)
    reach = (trajectory.detach().abs().double().cpu().reshape(-1, axes) / lengths).amax(0)
    if bool((reach > BEYOND / 2).any()):
        worst = int(reach.argmax())
        raise InputError(
            f"trajectory reaches {float(reach[worst] * lengths[worst]):.4g} cycles per field of "
            f"view along axis {worst}, expected at most half of its {int(lengths[worst])} pixels; "
            "convert its unit, or give a larger matrix"
        )
    if weights is None:
        return
    check_tensor("weights", weights)
    if weights.is_complex() or weights.shape != trajectory.shape[:-1]:
        raise InputError(
            f"weights is {weights.dtype} of shape {tuple(weights.shape)}, expected real numbers of "
            f"shape {tuple(trajectory.shape[:-1])}, one for each sample; reshape them"
        )
    if not bool((torch.isfinite(weights) & (weights >= 0)).all()) or not bool((weights > 0).any()):
        raise InputError(
            "weights are negative, not finite or all zero, expected numbers of at least 0; "
            "correct them"
        )
