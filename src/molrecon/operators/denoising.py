"""Denoising: the measurements are the image itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from molrecon.operators.base import LinearOperator, per_sample
from molrecon.operators.checks import image_shape


class Denoising(LinearOperator):
    """The identity, ``A x = x``: a noisy image is measured.

    Parameters
    ----------
    shape
        ``(channel, *spatial)`` of an image; 1 channel for gray or complex images, 3 for colour.
    dtype
        Of the images: float32, float64, complex64 or complex128.
    device
        Where the images lie.

    Raises
    ------
    InputError
        If shape or dtype cannot be those of an image.

    Examples
    --------
    >>> import torch
    >>> from molrecon import Denoising, Tikhonov
    >>> noisy = 1 + 0.1 * torch.randn(1, 1, 32, 32, generator=torch.manual_seed(0))
    >>> solution = Tikhonov()(noisy, Denoising((1, 32, 32)), sigma=0.1)
    >>> bool(solution.value.std() < noisy.std())
    True
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        shape = image_shape(shape)
        super().__init__(shape, shape, dtype=dtype, device=device)

    @property
    def nominal_norm(self) -> Tensor:
        """‖A‖ = 1, ``(1,)``."""
        return torch.ones(1, dtype=self.dtype.to_real(), device=self.device)

    @property
    def norm_bound(self) -> Tensor:
        """‖A‖ = 1, ``(1,)``."""
        return self.nominal_norm

    def forward(self, x: Tensor) -> Tensor:
        """Return the images themselves."""
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        """Return the measurements themselves."""
        return y

    def resolvent(self, c: Tensor, r: Tensor) -> Tensor:
        """Exact ``(I + cI)⁻¹ r``."""
        self.check_input(r)
        return r / (1 + per_sample(c, r))
