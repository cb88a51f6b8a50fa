"""Directions that estimates start from and steps that they take, of the shape of an image."""

from __future__ import annotations

import torch
from torch import Tensor

from molrecon.operators.base import norm, per_sample


def unit(v: Tensor) -> Tensor:
    """Divide every sample by its norm."""
    length = norm(v).clamp_min(torch.finfo(v.real.dtype).tiny)
    return v / per_sample(length, v)


def random_like(x: Tensor, seed: int) -> Tensor:
    """Draw standard normal numbers of the shape, type and device of ``x``."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)


def short(x: Tensor) -> Tensor:
    """Length of a step from every sample that serves as a derivative, ``(batch,)``.

    Rounding and curvature spoil a forward difference about equally at ``√ε‖x‖``.
    """
    relative = 3 * float(torch.finfo(x.real.dtype).eps) ** 0.5
    length: Tensor = relative * norm(x).clamp_min(relative)
    return length
