"""Inpainting: some pixels of the image are measured."""

from __future__ import annotations

import torch
from torch import Tensor

from molrecon.errors import InputError
from molrecon.operators.base import LinearOperator, per_sample
from molrecon.operators.checks import check_parameter


class Inpainting(LinearOperator):
    """Measurement of some pixels, ``A x = mask · x``, in any number of axes; the others are zero.

    All pixels belong to the image (`support` is None): those that were not measured are what the
    network is asked for.

    Parameters
    ----------
    mask
        Boolean (or weights in [0, 1]) ``(batch or 1, channels or 1, *spatial)``; True where the
        pixel was measured.
    channels
        Channels of the images, 1 for gray or complex ones, 3 for colour; by default those of the
        mask. A mask of one channel is shared by all.
    dtype
        Of the images: float32, float64, complex64 or complex128.

    Raises
    ------
    InputError
        If the mask does not fit, has values outside [0, 1] or is zero everywhere in a sample.

    Examples
    --------
    >>> import torch
    >>> from molrecon import Inpainting
    >>> A = Inpainting(torch.tensor([[[True, False], [True, True]]])[None])
    >>> A(torch.full((1, 1, 2, 2), 5.0))
    tensor([[[[5., 0.],
              [5., 5.]]]])
    """

    _of_every_sample = ("mask", "_weights")

    def __init__(
        self, mask: Tensor, *, channels: int | None = None, dtype: torch.dtype = torch.float32
    ) -> None:
        _check_mask(mask, channels)
        shape = (channels or mask.shape[1], *mask.shape[2:])
        super().__init__(shape, shape, batch=mask.shape[0], dtype=dtype)
        self.mask = mask
        self._weights = mask.to(dtype.to_real())

    @property
    def nominal_norm(self) -> Tensor:
        """1, ``(batch,)``: the norm where any pixel was measured with weight 1."""
        return torch.ones(self.batch, dtype=self._weights.dtype, device=self.device)

    @property
    def norm_bound(self) -> Tensor:
        """‖A‖, the largest weight of the mask, ``(batch,)``."""
        return self._weights.flatten(1).amax(1)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply images by the mask."""
        return self._weights * x

    def adjoint(self, y: Tensor) -> Tensor:
        """Multiply measurements by the mask."""
        return self._weights * y

    def resolvent(self, c: Tensor, r: Tensor) -> Tensor:
        """Exact ``(I + c AᴴA)⁻¹ r``, a division of every pixel."""
        self.check_input(r)
        return r / (1 + per_sample(c, r) * self._weights**2)


def _check_mask(mask: Tensor, channels: int | None) -> None:
    if mask.is_complex() or mask.ndim < 3:
        raise InputError(
            f"mask is {mask.dtype} of shape {tuple(mask.shape)}, expected a real or boolean tensor "
            "(batch or 1, channels or 1, *spatial); convert or reshape it"
        )
    if channels is not None and channels < 1:
        raise InputError(
            f"channels is {channels}, expected at least 1; 1 for gray images, 3 for colour"
        )
    check_parameter("mask", mask, (channels or mask.shape[1], *mask.shape[2:]))
    if bool(((mask < 0) | (mask > 1)).any()):
        raise InputError(
            f"mask has values from {float(mask.min()):g} to {float(mask.max()):g}, expected "
            "weights in [0, 1]; divide by the largest"
        )
    if not bool((mask != 0).flatten(1).any(1).all()):
        raise InputError(
            "mask is zero everywhere in a sample, expected some measured pixels; leave the "
            "sample out"
        )
