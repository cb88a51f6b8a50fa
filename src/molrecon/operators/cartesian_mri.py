"""Multi-coil Cartesian MRI."""

from __future__ import annotations

from torch import Tensor

from molrecon.operators.multi_coil import MultiCoilMRI


class CartesianMRI(MultiCoilMRI):
    """Multi-coil Cartesian MRI, ``A x = mask · FFT(coil_maps · x)``, in any number of axes.

    The transform is centred and orthonormal at the interface, so ``‖A‖ ≤ 1`` when the root sum of
    squares of the coil maps is at most 1. Memory: see `MultiCoilMRI`.

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
        super().__init__(coil_maps, mask, transformed=max(1, coil_maps.ndim - 2))
