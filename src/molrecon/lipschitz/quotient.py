"""Difference quotients of a map, differentiable in its weights: lower bounds on its constant."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from molrecon.lipschitz.linearised import Map
from molrecon.lipschitz.vectors import random_like
from molrecon.operators.base import norm, per_sample


def difference_quotient(f: Map, x: Tensor, e: Tensor) -> Tensor:
    """``‖f(x + e) − f(x)‖ / ‖e‖`` of every sample, ``(batch,)``: a lower bound on Lip(f).

    Both applications are computed again in the backward pass, one after the other, so that it takes
    the memory of one; forward-mode derivatives take that of two and more.
    """

    def apply(z: Tensor) -> Tensor:
        value: Tensor = checkpoint(f, z, use_reentrant=False, preserve_rng_state=False)
        return value

    return norm(apply(x + e) - apply(x)) / norm(e)


def published_quotient(
    f: Map, x: Tensor, *, steps: int = 10, radius: float = 0.1, seed: int = 0
) -> Tensor:
    """Largest ``‖f(x + e) − f(x)‖ / ‖e‖`` found by normalised gradient ascent on e, ``(batch,)``.

    The estimator of the published code (Pramanik et al. 2023, Algorithm 3): ten steps from a random
    e of length ``radius·‖x‖``. It under-reports; `jacobian_norm` is sharper. The result is
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
