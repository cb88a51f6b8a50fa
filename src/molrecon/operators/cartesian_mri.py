"""Multi-coil Cartesian MRI."""

from __future__ import annotations

import torch
from torch import Tensor

from molrecon.errors import InputError
from molrecon.operators.base import LinearOperator
from molrecon.operators.fourier import spatial_dims
from molrecon.operators.noise import estimate_sigma


class CartesianMRI(LinearOperator):
    """Multi-coil Cartesian MRI, ``A x = mask · FFT(coil_maps · x)``, in any number of axes.

    The transform is centred and orthonormal at the interface, so ``‖A‖ ≤ 1`` when the root sum of
    squares of the coil maps is at most 1.

    Parameters
    ----------
    coil_maps
        Complex ``(batch or 1, coil, *spatial)``; unit-free.
    mask
        Boolean (or weights in [0, 1]) ``(batch or 1, 1, *spatial)``; True where k-space was
        sampled.

    Raises
    ------
    InputError
        If the shapes do not fit, the maps are not complex or either holds NaN or infinity.
    """

    def __init__(self, coil_maps: Tensor, mask: Tensor) -> None:
        _check_arguments(coil_maps, mask)
        self.coil_maps = coil_maps
        self.mask = mask
        self.ndim = coil_maps.ndim - 2
        spatial = tuple(coil_maps.shape[2:])
        self.shape_in = (1, *spatial)
        self.shape_out = (coil_maps.shape[1], *spatial)
        self.batch = max(coil_maps.shape[0], mask.shape[0])
        self._dims = spatial_dims(self.ndim)
        # Shifting maps and mask once lets A and AᴴA shift one image instead of every coil.
        self._maps = torch.fft.ifftshift(coil_maps, dim=self._dims)
        weights = mask.to(coil_maps.real.dtype)
        self._mask = torch.fft.ifftshift(weights, dim=self._dims)
        self._mask_squared = self._mask**2
        seen = (coil_maps != 0).any(dim=1, keepdim=True)
        self._support = None if bool(seen.all()) else seen

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of images: that of the coil maps."""
        return self.coil_maps.dtype

    @property
    def device(self) -> torch.device:
        """The device of the coil maps."""
        return self.coil_maps.device

    @property
    def support(self) -> Tensor | None:
        """Pixels where a coil map is not zero; None if that is so everywhere."""
        return self._support

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> CartesianMRI:
        """Return the operator on another device or in another (complex) precision."""
        maps = self.coil_maps.to(device=device, dtype=dtype or self.dtype)
        return CartesianMRI(maps, self.mask.to(device=device))

    def completed(self, x: Tensor, y: Tensor) -> Tensor:
        """Return ``x + Aᴴ(y − A x)``: the combined full scan, measured samples kept as they are.

        A full scan with noise n, combined with maps S of unit root sum of squares, is
        ``Sᴴ Fᴴ (F S x + n)``. Split into the samples at hand and the others, M + M̄ = 1, its
        expectation given y is ``Aᴴ y + Sᴴ Fᴴ M̄ F S E[x|y] = Aᴴ y + (I − AᴴA) E[x|y]``, since noise
        that was not measured averages out. So the best prediction of the full scan follows from
        the best estimate of the image, and holds the noise of the measured samples.
        """
        return x + self.H(y - self(x))

    @property
    def completion_gain(self) -> Tensor:
        """Bound on ``‖I − AᴴA‖``: 1 for maps of a root sum of squares up to √2."""
        return (self._squared_bound - 1).clamp_min(1)

    @property
    def norm_bound(self) -> Tensor:
        """Bound on ‖A‖: largest root sum of squares of the maps times the largest mask weight."""
        return self._squared_bound.sqrt()

    @property
    def _squared_bound(self) -> Tensor:
        power = self.coil_maps.abs().square().sum(1).flatten(1).amax(1)
        weight: Tensor = self._mask_squared.flatten(1).amax(1)
        return power * weight

    def estimate_sigma(self, y: Tensor) -> Tensor:
        """Estimate sigma from the outermost sampled k-space; see `estimate_sigma`."""
        self._check(y, self.shape_out, "k-space")
        return estimate_sigma(y, self.mask)

    def _forward(self, x: Tensor) -> Tensor:
        coils = self._maps * torch.fft.ifftshift(x, dim=self._dims)
        k = torch.fft.fftn(coils, dim=self._dims, norm="ortho")
        shifted: Tensor = torch.fft.fftshift(self._mask * k, dim=self._dims)
        return shifted

    def _adjoint(self, y: Tensor) -> Tensor:
        k = self._mask * torch.fft.ifftshift(y, dim=self._dims)
        return self._combine(k)

    def _normal(self, x: Tensor) -> Tensor:
        coils = self._maps * torch.fft.ifftshift(x, dim=self._dims)
        k = torch.fft.fftn(coils, dim=self._dims, norm="ortho")
        return self._combine(self._mask_squared * k)

    def _combine(self, k: Tensor) -> Tensor:
        coils = torch.fft.ifftn(k, dim=self._dims, norm="ortho")
        image = (self._maps.conj() * coils).sum(1, keepdim=True)
        shifted: Tensor = torch.fft.fftshift(image, dim=self._dims)
        return shifted


def _check_arguments(coil_maps: Tensor, mask: Tensor) -> None:
    if not coil_maps.is_complex() or coil_maps.ndim < 3:
        raise InputError(
            f"coil_maps is {coil_maps.dtype} of shape {tuple(coil_maps.shape)}, expected a complex "
            "tensor (batch, coil, *spatial)"
        )
    if mask.is_complex() or mask.ndim != coil_maps.ndim or mask.shape[1] != 1:
        raise InputError(
            f"mask is {mask.dtype} of shape {tuple(mask.shape)}, expected a real or boolean tensor "
            f"(batch, 1, *spatial) with {coil_maps.ndim - 2} spatial axes"
        )
    if mask.shape[2:] != coil_maps.shape[2:]:
        raise InputError(
            f"mask has spatial shape {tuple(mask.shape[2:])}, but the coil maps have "
            f"{tuple(coil_maps.shape[2:])}"
        )
    if 1 not in (mask.shape[0], coil_maps.shape[0]) and mask.shape[0] != coil_maps.shape[0]:
        raise InputError(
            f"mask has a batch of {mask.shape[0]}, but the coil maps have {coil_maps.shape[0]}"
        )
    for name, tensor in (("coil_maps", coil_maps), ("mask", mask)):
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{name} holds NaN or infinite values")
