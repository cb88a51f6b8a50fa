"""Lower bounds on the Lipschitz constant by ascent."""

from __future__ import annotations

import torch
from torch import Tensor

from molrecon.lipschitz.linearised import Map
from molrecon.lipschitz.local import random_like
from molrecon.lipschitz.quotient import difference_quotient
from molrecon.operators.base import norm, per_sample


def published_quotient(
    f: Map, x: Tensor, *, steps: int = 10, radius: float = 0.1, seed: int = 0
) -> Tensor:
    """Largest ``‖f(x + e) − f(x)‖ / ‖e‖`` found by normalised gradient ascent on e, ``(batch,)``.

    The estimator of the published code (Pramanik et al. 2023, Algorithm 3): ten steps from a
    random e of length ``radius·‖x‖``. It under-reports; `jacobian_norm` is sharper. The result is
    differentiable in the weights of ``f``.
    """
    x = x.detach()
    size = norm(x)
    length = radius * torch.where(size > 0, size, torch.ones_like(size))
    with torch.no_grad():
        fx = f(x)
    best = e = _of_length(length, random_like(x, seed))
    largest = torch.zeros_like(length)
    for step in range(steps + 1):
        e = e.detach().requires_grad_()
        with torch.enable_grad():
            ratio = norm(f(x + e) - fx) / norm(e)
            # The steps have a fixed length and overshoot, so the last point is not the best one.
            best = torch.where(per_sample(ratio > largest, e), e, best).detach()
            largest = torch.maximum(largest, ratio.detach())
            if step < steps:
                (direction,) = torch.autograd.grad(ratio.sum(), e)
                e = _of_length(length, e + _of_length(length, direction))
    return difference_quotient(f, x, best)


def _of_length(length: Tensor, e: Tensor) -> Tensor:
    return e * per_sample(length / norm(e).clamp_min(torch.finfo(length.dtype).tiny), e)
