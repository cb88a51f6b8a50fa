"""Multi-coil MRI with several sets of coil maps."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from molrecon.errors import InputError
from molrecon.operators.multi_coil import MultiCoilMRI
from molrecon.operators.noise import estimate_frames_noise
from molrecon.operators.sampled_axes import in_order


def combined_sets(image: Tensor) -> Tensor:
    """Return the root sum of squares over sets of maps, with the phase of the first set.

    Where the sets are orthogonal it is that of the coil images. Its magnitude differs from that of
    another image by no more than the sets do.

    Parameters
    ----------
    image
        Complex ``(batch, set, *spatial)``.

    Returns
    -------
    Tensor
        Complex ``(batch, 1, *spatial)``.
    """
    if image.shape[1] == 1:
        return image
    first = image[:, :1]
    size = torch.linalg.vector_norm(image, dim=1, keepdim=True)
    return torch.where(first != 0, torch.polar(size, first.angle()), size.to(image.dtype))


class SoftSense(MultiCoilMRI):
    """MRI with several sets of coil maps, ``A x = mask · FFT(Σ_s maps_s · x_s)``.

    Where an object is larger than the field of view it folds, and one pixel holds two places that
    the coils see differently: no single map describes it. ESPIRiT then finds two, and the image is
    one for each set (soft SENSE). The channels of the image are the sets.

    Parameters
    ----------
    coil_maps
        Complex ``(batch or 1, set, coil, *spatial)``, of several frames with length 1 in time if
        they share them.
    mask
        Boolean (or weights in [0, 1]) ``(batch or 1, 1, *spatial)``; True where k-space was
        sampled.
    frames
        Whether the first spatial axis is time, which is not transformed.

    Raises
    ------
    InputError
        If the shapes do not fit, the maps are not complex or either holds NaN or infinity.

    References
    ----------
    M. Uecker et al., "ESPIRiT: an eigenvalue approach to autocalibrating parallel MRI",
    Magn. Reson. Med. 71 (2014) 990.

    Examples
    --------
    >>> import torch
    >>> from molrecon import SoftSense
    >>> maps = torch.randn(1, 2, 4, 8, 8, dtype=torch.complex64)
    >>> A = SoftSense(maps, torch.ones(1, 1, 8, 8, dtype=torch.bool))
    >>> A(torch.ones(1, 2, 8, 8, dtype=torch.complex64)).shape
    torch.Size([1, 4, 8, 8])
    """

    def __init__(self, coil_maps: Tensor, mask: Tensor, *, frames: bool = False) -> None:
        if coil_maps.ndim != mask.ndim + 1:
            raise InputError(
                f"coil_maps has shape {tuple(coil_maps.shape)}, expected (batch, set, coil, "
                f"*spatial) with {mask.ndim - 2} spatial axes; add the axis of the sets"
            )
        ndim = mask.ndim - 2
        super().__init__(coil_maps.flatten(1, 2), mask, transformed=ndim - frames)
        sets, coils = coil_maps.shape[1:3]
        self.coil_maps, self.frames = coil_maps, frames
        self._ordered_maps = in_order(coil_maps, self._sampled)
        self.shape_in = (sets, *self.shape_in[1:])
        self.shape_out = (coils, *self.shape_out[1:])
        seen = (coil_maps != 0).any(dim=2)
        whole = seen.expand(-1, -1, *mask.shape[2:])
        self._support = None if bool(seen.all()) else whole

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Self:
        """Return the operator on another device or in another (complex) precision."""
        maps = self.coil_maps.to(device=device, dtype=dtype or self.dtype)
        return type(self)(maps, self.mask.to(device=device), frames=self.frames)

    @property
    def _squared_bound(self) -> Tensor:
        """Bound on ‖A‖² from the Gram matrices of the maps of every pixel.

        Their largest eigenvalue is at most the largest sum of magnitudes in a row (Gershgorin); so
        for orthogonal sets, as ESPIRiT's, it is what a single set would have.
        """
        gram = torch.einsum("bsc...,btc...->bst...", self.coil_maps.conj(), self.coil_maps)
        rows = gram.abs().sum(2).flatten(1).amax(1)
        bound: Tensor = rows * self._mask_squared.flatten(1).amax(1)
        return bound

    def _estimated_sigma(self, y: Tensor) -> Tensor:
        if not self.frames:
            return super()._estimated_sigma(y)
        return estimate_frames_noise(y, self.mask).sigma

    def _coil_images(self, maps: Tensor, x: Tensor, block: slice) -> Tensor:
        sets = [maps[:, s, block] * x[:, s : s + 1] for s in range(x.shape[1])]
        return torch.stack(sets).sum(0)

    def _combined(self, maps: Tensor, coils: Tensor, block: slice) -> Tensor:
        coils = coils.conj_physical_()
        sets = [(coils * one).sum(1) for one in maps[:, :, block].unbind(1)]
        return torch.stack(sets, dim=1).conj_physical_()
