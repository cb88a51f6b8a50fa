"""Multi-coil Cartesian MRI of a moving object, frame by frame."""

from __future__ import annotations

from torch import Tensor

from molrecon.errors import InputError
from molrecon.operators.checks import check_tensor
from molrecon.operators.multi_coil import MultiCoilMRI
from molrecon.operators.noise import estimate_frames_noise


class DynamicMRI(MultiCoilMRI):
    """Cartesian MRI of a series of frames, ``A x = mask · FFT_yx(coil_maps · x)``.

    Every frame is a two-dimensional scan with a mask of its own; time is an axis of the image and
    not transformed. The transform is centred and orthonormal, so ``‖A‖ ≤ 1`` for coil maps of unit
    root sum of squares. Coils are worked on in blocks, so that ``A.normal`` and the adjoint need
    the memory of a few series, whatever the number of coils.

    Parameters
    ----------
    coil_maps
        Complex ``(batch or 1, coil, 1 or t, y, x)``; of length 1 in time, they serve all frames.
    mask
        Boolean (or weights in [0, 1]) ``(batch or 1, 1, t, y, x)``; True where k-space was
        sampled.

    Raises
    ------
    InputError
        If the shapes do not fit, the maps are not complex or either holds NaN or infinity.

    Examples
    --------
    >>> import torch
    >>> from molrecon import DynamicMRI, make_mask, simulate_coil_maps
    >>> generator = torch.Generator().manual_seed(0)
    >>> maps = simulate_coil_maps((32, 32), 4, generator=generator)
    >>> mask = make_mask("frames-golden-step", (5, 32, 32), acceleration=4, calibration=2)
    >>> DynamicMRI(maps[None, :, None], mask[None, None])
    DynamicMRI(shape_in=(1, 5, 32, 32), shape_out=(4, 5, 32, 32), dtype=complex64)
    """

    def __init__(self, coil_maps: Tensor, mask: Tensor) -> None:
        check_tensor("coil_maps", coil_maps)
        if coil_maps.ndim != 5:
            raise InputError(
                f"coil_maps has shape {tuple(coil_maps.shape)}, expected (batch, coil, t, y, x) "
                "with t = 1 where the frames share them; add the axis of time"
            )
        super().__init__(coil_maps, mask, transformed=2)

    def _estimated_sigma(self, y: Tensor) -> Tensor:
        return estimate_frames_noise(y, self.mask).sigma
