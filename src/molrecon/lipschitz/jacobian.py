"""The local Lipschitz value ‖J_H(x)‖₂, by power iteration on JᵀJ."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from molrecon.lipschitz.linearised import Linearised, Map
from molrecon.lipschitz.vectors import random_like, short, unit
from molrecon.operators.base import inner, norm, per_sample


@dataclass(frozen=True)
class JacobianNorm:
    """Result of a power iteration."""

    # ‖J(x)v‖ for the last unit vector v of every sample, ``(batch,)``: a lower bound on ‖J(x)‖₂
    # that approaches it.
    value: Tensor
    vector: Tensor  # the next vector, Jᵀ(Jv) normalised, to start from again
    iterations: int  # power iterations done


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

    The map keeps the shape of ``x``, ``(batch, …)``, and its samples do not interact. The start is
    random by default; the iteration stops when it changes every value by less than the fraction
    ``tol``.
    """
    x = x.detach()
    v = unit(start if start is not None else random_like(x, seed))
    value = torch.zeros(x.shape[0], dtype=x.real.dtype, device=x.device)
    iterations = 0
    jacobian = Linearised(f, x)
    for _ in range(max_iterations):
        forward = jacobian.forward(v)
        iterations += 1
        previous, value = value, norm(forward)
        v = unit(jacobian.transposed(forward))
        if bool(torch.all((value - previous).abs() <= tol * value)):
            break
    return JacobianNorm(value, v, iterations)


def top_singular_vector(f: Map, x: Tensor, start: Tensor, steps: int) -> Tensor:
    """Approximate the top right singular vector of the Jacobian of ``f`` at ``x``, unit norm.

    ``steps`` steps of Lanczos on JᵀJ with full reorthogonalisation: the Ritz vector in the space
    that as many power iterations span, so never worse than theirs and usually far better. The
    singular vectors of denoisers sit at edges, so every image has its own and few steps must do.
    Products with J are finite differences: exact ones need a graph twice as large, and the vector
    is an estimate anyway. The map keeps the shape of ``x``, and its samples do not interact.
    """
    point = x.detach().requires_grad_()
    with torch.enable_grad():
        out = f(point)
    length = short(x)
    basis = [unit(start)]
    rows = []
    for k in range(steps):
        with torch.no_grad():
            difference = f(x + per_sample(length, x) * basis[-1]) - out
        (w,) = torch.autograd.grad(out, point, difference.detach(), retain_graph=True)
        w = w / per_sample(length, w)
        # In exact arithmetic ⟨w, v_i⟩ is zero but for the last two; kept whole for safety.
        rows.append(torch.stack([inner(w, v) for v in basis], dim=1))
        if k == steps - 1:
            break
        for _ in range(2):
            for v in basis:
                w = w - per_sample(inner(w, v), w) * v
        basis.append(unit(w))
    gram = x.real.new_zeros(x.shape[0], steps, steps)
    for k, row in enumerate(rows):
        gram[:, k, : k + 1] = row
        gram[:, : k + 1, k] = row
    # NaN and infinity stay: the value measured at the vector shows them.
    weights = torch.linalg.eigh(gram.double().nan_to_num()).eigenvectors[..., -1].to(gram.dtype)
    vector = torch.zeros_like(x)
    for k, v in enumerate(basis):
        vector = vector + per_sample(weights[:, k], x) * v
    return unit(vector)
