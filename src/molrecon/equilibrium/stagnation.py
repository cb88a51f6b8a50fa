"""When an iteration has come as far as its arithmetic lets it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

ROUNDING = 100.0
"""Longest step that may be rounding alone, in units of the rounding of what it is made of."""

REDUCTION = 0.75
"""Residual left by the iterations that are waited for, if the arithmetic were exact."""

LEAST = 20
"""Fewest iterations that are waited for."""


def patience(contraction: float, *, accelerated: bool) -> float:
    """Return after how many iterations without any progress rounding must be the reason.

    A plain step multiplies the residual by ``contraction`` at most, and a rejected proposal costs
    a step of its own: after so many iterations exact arithmetic would have lowered the residual by
    a quarter. Slow iterations are waited for as much longer as they are slower. What may be given
    up is a tolerance within a rounding or two of the image, which chance alone might meet later.
    """
    if contraction >= 1:
        return math.inf
    if contraction <= 0:
        return LEAST
    steps = math.ceil(math.log(REDUCTION) / math.log(contraction))
    return max(LEAST, steps * (2 if accelerated else 1))


class Records:
    """The best that every sample of a batch has reached, and for how long it has stood."""

    def __init__(self, batch: int, dtype: torch.dtype, device: torch.device) -> None:
        self.residual = torch.full((batch,), torch.inf, dtype=dtype, device=device)
        self._bound = self.residual.clone()
        self._age = torch.zeros(batch, dtype=torch.int64, device=device)

    def update(self, residual: Tensor, bound: Tensor, accepted: Tensor) -> None:
        """Compare with the figures of one more iteration, ``(batch,)``; count it if it is worse."""
        better = accepted & ((residual < self.residual) | (bound < self._bound))
        self._age = torch.where(better, 0, self._age + 1)
        self.residual = torch.where(accepted, torch.minimum(residual, self.residual), self.residual)
        self._bound = torch.where(accepted, torch.minimum(bound, self._bound), self._bound)

    def keep(self, samples: Tensor) -> None:
        """Forget all samples but those of these numbers."""
        self.residual, self._bound = self.residual[samples], self._bound[samples]
        self._age = self._age[samples]

    def stand_still(self, iterations: float, length: Tensor, size: Tensor) -> Tensor:
        """Return which samples have stagnated, boolean ``(batch,)``.

        Without progress in so many iterations (`patience`), and with a last step as short as the
        rounding of the ``size`` of its terms makes it: a residual that does not shrink although it
        is above rounding has another reason (a network that is not monotone there), and may shrink
        yet.
        """
        rounding = ROUNDING * torch.finfo(length.dtype).eps * size
        return (self._age >= iterations) & (length <= rounding)
