"""Multi-coil Cartesian MRI."""

from __future__ import annotations

from torch import Tensor

from molrecon.operators.checks import check_tensor
from molrecon.operators.multi_coil import MultiCoilMRI


class CartesianMRI(MultiCoilMRI):
    """Multi-coil Cartesian MRI, ``A x = mask · FFT(coil_maps · x)``, in any number of axes.

    The transform is centred and orthonormal, so ``‖A‖ ≤ 1`` when the root sum of squares of the
    coil maps is at most 1. Coils are worked on in blocks, so that ``A.normal`` and the adjoint need
    the memory of a few images, whatever the number of coils.

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

    Examples
    --------
    >>> import torch
    >>> from molrecon import CartesianMRI, make_mask, simulate_coil_maps
    >>> generator = torch.Generator().manual_seed(0)
    >>> maps = simulate_coil_maps((32, 32), 4, generator=generator)
    >>> mask = make_mask("variable-density", (32, 32), acceleration=2, calibration=8)
    >>> A = CartesianMRI(maps[None], mask[None, None])
    >>> A
    CartesianMRI(shape_in=(1, 32, 32), shape_out=(4, 32, 32), dtype=complex64)
    >>> A(torch.ones(1, 1, 32, 32, dtype=torch.complex64)).shape
    torch.Size([1, 4, 32, 32])
    """

    def __init__(self, coil_maps: Tensor, mask: Tensor) -> None:
        check_tensor("coil_maps", coil_maps)
        super().__init__(coil_maps, mask, transformed=max(1, coil_maps.ndim - 2))
