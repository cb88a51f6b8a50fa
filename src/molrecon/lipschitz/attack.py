"""Lower bounds on the Lipschitz constant by ascent."""

from __future__ import annotations

import torch
from torch import Tensor

from molrecon.lipschitz.local import Map
from molrecon.operators.base import norm, per_sample


def difference_quotient(
    f: Map, x: Tensor, *, steps: int = 10, radius: float = 0.1, seed: int = 0
) -> Tensor:
    """Largest ``‖f(x + e) − f(x)‖ / ‖e‖`` found by normalised gradient ascent on e, ``(batch,)``.

    The estimator of the published code (Pramanik et al. 2023, Algorithm 3): ten steps from a
    random e of length ``radius·‖x‖``. It under-reports; `jacobian_norm` is sharper. The result is
    differentiable in the weights of ``f``.
    """
    x = x.detach()
    generator = torch.Generator().manual_seed(seed)
    e = torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)
    length = radius * norm(x)
    e = e * per_sample(length / norm(e), e)
    with torch.no_grad():
        fx = f(x)
    for _ in range(steps):
        e = e.detach().requires_grad_()
        with torch.enable_grad():
            ratio = norm(f(x + e) - fx) / norm(e)
            (direction,) = torch.autograd.grad(ratio.sum(), e)
        e = e + direction * per_sample(length / norm(direction).clamp_min(1e-30), direction)
        e = e * per_sample(length / norm(e), e)
    e = e.detach()
    return norm(f(x + e) - f(x)) / norm(e)
