"""Denoising: the measurements are the image itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from molrecon.operators.base import LinearOperator, per_sample
from molrecon.operators.checks import image_dtype, image_shape


class Denoising(LinearOperator):
    """The identity, ``A x = x``: a noisy image is measured.

    Parameters
    ----------
    shape
        ``(channel, *spatial)``; 1 channel for gray or complex images, 3 for colour.
    dtype, device
        Of the images; real or complex.

    Raises
    ------
    InputError
        If shape or dtype cannot be those of an image.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.shape_in = self.shape_out = image_shape(shape)
        self._dtype = image_dtype(dtype)
        self._device = torch.device(device)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of images."""
        return self._dtype

    @property
    def device(self) -> torch.device:
        """The device of the images."""
        return self._device

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Denoising:
        """Return the operator on another device or in another precision."""
        return Denoising(self.shape_in, dtype=dtype or self._dtype, device=device or self._device)

    def _forward(self, x: Tensor) -> Tensor:
        return x

    def _adjoint(self, y: Tensor) -> Tensor:
        return y

    def _resolvent(self, c: Tensor, r: Tensor) -> Tensor:
        return r / (1 + per_sample(c, r))
