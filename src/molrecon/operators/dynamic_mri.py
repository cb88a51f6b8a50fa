"""Multi-coil Cartesian MRI of a moving object, frame by frame."""

from __future__ import annotations

import torch
from torch import Tensor

from molrecon.errors import InputError
from molrecon.operators.multi_coil import MultiCoilMRI
from molrecon.operators.noise import SMALLEST_NUMBER, estimate_sigma


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
        """Estimate sigma of every sample, the root mean square over frames of `estimate_sigma`.

        Frames too sparse to show their noise are left out, unless all are.
        """
        self._check(y, self.shape_out, "k-space")
        mask = self.mask.expand(y.shape[0], -1, -1, -1, -1).transpose(1, 2)
        frames = y.transpose(1, 2)
        sigmas = []
        for one, sampled in zip(frames, mask, strict=True):
            rich = (sampled != 0).flatten(1).sum(1) >= SMALLEST_NUMBER
            rich = rich & (one != 0).flatten(1).any(1)
            chosen = rich if bool(rich.any()) else torch.ones_like(rich)
            sigma = estimate_sigma(one[chosen], sampled[chosen])
            sigmas.append(sigma.square().mean().sqrt())
        return torch.stack(sigmas)
