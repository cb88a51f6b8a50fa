"""Multi-coil Cartesian MRI of a moving object, frame by frame."""

from __future__ import annotations

from torch import Tensor

from molrecon.errors import InputError
from molrecon.operators.multi_coil import MultiCoilMRI
from molrecon.operators.noise import estimate_frames_sigma


class DynamicMRI(MultiCoilMRI):
    """Cartesian MRI of a series of frames, ``A x = mask · FFT_yx(coil_maps · x)``.

    Every frame is a two-dimensional scan with a mask of its own; time is an axis of the image and
    not transformed. Otherwise as `CartesianMRI`: centred, orthonormal, ``‖A‖ ≤ 1`` for maps of
    unit root sum of squares.

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
    """

    def __init__(self, coil_maps: Tensor, mask: Tensor) -> None:
        if coil_maps.ndim != 5:
            raise InputError(
                f"coil_maps has shape {tuple(coil_maps.shape)}, expected (batch, coil, t, y, x) "
                "with t = 1 where the frames share them"
            )
        super().__init__(coil_maps, mask, transformed=2)

    def estimate_sigma(self, y: Tensor) -> Tensor:
        """Estimate sigma from the outermost k-space of all frames; see `estimate_frames_sigma`."""
        self.H.check_input(y)
        return estimate_frames_sigma(y, self.mask)
