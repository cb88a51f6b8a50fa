"""The zero-filled image: what was measured, transformed back."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from molrecon.equilibrium.solution import Solution
from molrecon.linear.status import Status
from molrecon.operators.base import LinearOperator


class ZeroFilled:
    """``Aᴴy``: samples that were not measured count as zero.

    It solves no equation, so it has no residual and no guarantee.
    """

    @torch.no_grad()
    def __call__(self, y: Tensor, A: LinearOperator) -> Solution:
        """Reconstruct measurements ``(batch, *A.shape_out)``."""
        started = time.perf_counter()
        x = A.H(y)
        batch = x.shape[0]
        return Solution(
            value=x,
            status=(Status.CONVERGED,) * batch,
            iterations=torch.zeros(batch, dtype=torch.int64, device=x.device),
            network_evaluations=0,
            normal_evaluations=0,
            seconds=time.perf_counter() - started,
        )
