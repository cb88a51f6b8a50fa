"""Unrolled ADMM with a learned denoiser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from molrecon.reconstructors.unrolled import DataStep, Unrolled, UnrolledConfig


class ADMMNet(Unrolled):
    """ADMM with scaled multipliers u, its proximal step a network D, K iterations with one D.

    ``z ← D(x + u)``, ``u ← u + x − z``, ``x ← (I + λAᴴA)⁻¹(z − u + λAᴴy)`` from ``u = 0``: ADMM for
    ``½‖Ax − y‖² + R(z)``, ``x = z``, with the penalty 1/λ, which is learned (Yang et al., NeurIPS
    2016, with the 5-layer network in place of their filters and shared weights, as in Pramanik,
    Zimmerman, Jacob, IEEE TCI 2023). Without multipliers it is `MoDL`.

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
    >>> from molrecon import ADMMNet, CNN, Denoising
    >>> network = CNN(features=2, layers=2, residual=True).eval()
    >>> y = torch.ones(1, 1, 8, 8, dtype=torch.complex64)
    >>> A = Denoising((1, 8, 8), dtype=torch.complex64)
    >>> ADMMNet(network, iterations=3)(y, A, sigma=0.1).network_evaluations
    3
    """

    name = "admm-net"

    def iterate(
        self, x: Tensor, denoise: Callable[[Tensor], Tensor], data_step: DataStep
    ) -> tuple[Tensor, Tensor]:
        """Return the last two iterates."""
        u = torch.zeros_like(x)
        before = x
        for _ in range(self.iterations):
            z = denoise(x + u)
            u = u + x - z
            before, x = x, data_step(z - u, x)
        return before.detach(), x


class ADMMNetConfig(UnrolledConfig):
    """Settings of an `ADMMNet` model."""

    builds = ADMMNet
    method: Literal["admm-net"] = "admm-net"
