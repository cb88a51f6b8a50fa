"""The log-barrier that keeps a Lipschitz value below a threshold."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def log_barrier(value: Tensor, threshold: float, margin: float = 1e-3) -> Tensor:
    """``−log(T − L)`` for ``L ≤ T − margin``, continued linearly with the same slope beyond.

    (Pramanik et al. 2023, eq. 24.) L is ``value``, of any shape, and T the threshold. The
    continuation keeps the barrier finite and its pull constant when a training step has overshot.
    """
    knee = threshold - margin
    inside = -torch.log(threshold - value.clamp(max=knee))
    outside = -math.log(margin) + (value - knee) / margin
    return torch.where(value <= knee, inside, outside)
