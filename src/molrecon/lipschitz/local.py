"""The local Lipschitz value ‖J_H(x)‖₂, by power iteration on JᵀJ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from molrecon.operators.base import norm, per_sample

Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class JacobianNorm:
    """Result of a power iteration.

    Attributes
    ----------
    value
        ‖J(x)v‖ for the last unit vector v of every sample, ``(batch,)``: a lower bound on
        ‖J(x)‖₂ that approaches it.
    vector
        The next vector, Jᵀ(Jv) normalised, to start from again.
    iterations
        Power iterations done.
    """

    value: Tensor
    vector: Tensor
    iterations: int


def jacobian_norm(
    f: Map,
    x: Tensor,
    *,
    start: Tensor | None = None,
    tol: float = 1e-3,
    max_iterations: int = 200,
    seed: int = 0,
) -> JacobianNorm:
    """Largest singular value of the Jacobian of ``f`` at ``x``, on the real two-channel view.

    Parameters
    ----------
    f
        Differentiable map that keeps the shape of ``x``; samples must not interact.
    x
        ``(batch, …)``, real or complex.
    start
        Starting vectors, of the shape of ``x``; random if not given.
    tol
        Stop when one iteration changes every value by less than this fraction.
    max_iterations
        Cap.
    seed
        Of the random start.
    """
    x = x.detach()
    v = unit(start if start is not None else _random_like(x, seed))
    value = torch.zeros(x.shape[0], dtype=x.real.dtype, device=x.device)
    iterations = 0
    for _ in range(max_iterations):
        forward, transposed = jvp_and_vjp(f, x, v)
        iterations += 1
        previous, value = value, norm(forward).detach()
        v = unit(transposed(forward))
        if bool(torch.all((value - previous).abs() <= tol * value)):
            break
    return JacobianNorm(value, v, iterations)


def jvp_and_vjp(f: Map, x: Tensor, v: Tensor) -> tuple[Tensor, Map]:
    """Return Jv, differentiable in the weights of ``f``, and the map u ↦ Jᵀu."""
    point = x.detach().requires_grad_()
    with torch.enable_grad():
        out, jv = cast(tuple[Tensor, Tensor], torch.func.jvp(f, (point,), (v,)))

    def transposed(u: Tensor) -> Tensor:
        (product,) = torch.autograd.grad(out, point, u.detach(), retain_graph=True)
        return product

    return jv, transposed


def unit(v: Tensor) -> Tensor:
    """Divide every sample by its norm."""
    length = norm(v).clamp_min(torch.finfo(v.real.dtype).tiny)
    return v / per_sample(length, v)


def _random_like(x: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)
