"""Model-based deep learning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from molrecon.reconstructors.unrolled import DataStep, Unrolled, UnrolledConfig


class MoDL(Unrolled):
    """``z_k = D(x_k)``, ``x_{k+1} = (I + λAᴴA)⁻¹(z_k + λAᴴy)``, K times with one D.

    (Aggarwal, Mani, Jacob, IEEE TMI 2019; their weight of the regularisation is
    1/λ.) The order is the paper's: the data have the last word. The start is the one of `MOL`, a
    short SENSE reconstruction, where the paper has Aᴴy.

    Parameters
    ----------
    network
        The denoiser D, of images whose peak is 1.
    weight
        λ as a function of the noise level; by default a new `DataWeight`.
    iterations
        Number of alternations K ≥ 1, ten by default.
    solver
        Solver of the data step; by default the operator's closed form or else conjugate gradients
        to a residual of 1e-4.
    output
        ``"fixed-point"``: the image is what the method computes. ``"full-scan"``: it is what a
        full scan would have shown, ``x + Aᴴ(y − A x)``, which keeps the measured samples with
        their noise.

    Raises
    ------
    InputError
        If an argument is out of range.

    Examples
    --------
    >>> import torch
    >>> from molrecon import CNN, MoDL, Denoising
    >>> network = CNN(features=2, layers=2, residual=True).eval()
    >>> y = torch.ones(1, 1, 8, 8, dtype=torch.complex64)
    >>> A = Denoising((1, 8, 8), dtype=torch.complex64)
    >>> MoDL(network, iterations=3)(y, A, sigma=0.1).network_evaluations
    3
    """

    name = "modl"

    def iterate(
        self, x: Tensor, denoise: Callable[[Tensor], Tensor], data_step: DataStep
    ) -> tuple[Tensor, Tensor]:
        """Return the last two iterates."""
        before = x
        for _ in range(self.iterations):
            before, x = x, data_step(denoise(x), x)
        return before.detach(), x


class MoDLConfig(UnrolledConfig):
    """Settings of a `MoDL` model."""

    builds = MoDL
    method: Literal["modl"] = "modl"
