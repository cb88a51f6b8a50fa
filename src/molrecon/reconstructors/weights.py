"""The weight λ of the data term, learned."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from molrecon.errors import InputError


class DataWeight(nn.Module):
    """λ as a function of the noise level: ``λ = λ₀ / (σ² + σ₀²)``, or a learned constant.

    For white noise a MAP estimate has λ ∝ 1/σ², so one network serves scans of different noise.
    The floor σ₀ keeps λ, and with it the condition of the linear systems, finite for noise-free
    data. λ₀ and σ₀ are learned through their logarithms.

    Parameters
    ----------
    kind
        ``"noise"`` for the formula, ``"fixed"`` for the published constant λ.
    lam0
        Initial λ₀, or the initial constant λ.
    floor
        Initial σ₀, relative to the image peak; ignored when ``kind`` is ``"fixed"``.
    """

    def __init__(
        self, kind: Literal["noise", "fixed"] = "noise", lam0: float = 0.005, floor: float = 1.5e-3
    ) -> None:
        super().__init__()
        if not (lam0 > 0 and floor > 0):
            raise InputError(f"lam0 is {lam0} and floor {floor}, expected positive values")
        self.kind = kind
        self.log_lam0 = nn.Parameter(torch.tensor(math.log(lam0)))
        self.log_floor = nn.Parameter(torch.tensor(math.log(floor))) if kind == "noise" else None

    def forward(self, sigma: Tensor) -> Tensor:
        """λ of every sample from its noise level relative to the image peak, ``(batch,)``."""
        lam0 = self.log_lam0.exp()
        if self.log_floor is None:
            return lam0.expand(sigma.shape)
        return lam0 / (sigma**2 + (2 * self.log_floor).exp())

    def start_from(self, other: DataWeight) -> None:
        """Take over what another weight has learned, if it is of the same kind."""
        if other.kind == self.kind:
            self.load_state_dict(other.state_dict())
