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

    method: Literal["admm-net"] = "admm-net"

    def build(self) -> ADMMNet:
        """Build the model, with fresh weights."""
        return ADMMNet(**self.arguments())
