"""Extreme eigenvalues of symmetric maps by Lanczos, with what is known about their error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from molrecon.lipschitz.linearised import Map
from molrecon.operators.base import inner, norm, per_sample

FAILURE = 0.005
"""Probability with which a random start may see too little of the extreme eigenvectors, at either
end of the spectrum and at any of the steps at which the iteration may have stopped."""

FIRST_CHECK, CHECK_EVERY = 16, 4
"""Steps at which the iteration may stop: few of them, since each counts in the probability, and
not before the bound is of use."""


@dataclass(frozen=True)
class Ritz:
    """Largest Ritz value of every sample, each ``(batch,)``."""

    largest: Tensor  # Ritz values: the map has eigenvalues at least as large and as small
    smallest: Tensor
    residual: Tensor  # ``‖Bv − θv‖`` of the largest: an eigenvalue lies within this distance of it
    # The largest eigenvalue is at most this, but for a probability of `FAILURE` over the random
    # start; infinite after few steps. After k steps in n dimensions ``P[λ_max − θ > ε (λ_max −
    # λ_min)] ≤ 1.648 √n e^{−√ε (2k − 1)}`` (Kuczyński and Woźniakowski 1992, Theorem 4.2a) holds
    # for a k that was fixed before. The spread ``λ_max − λ_min`` is not known and is bounded by the
    # same statement for both ends (unless ``lowest`` is given), and k depends on the start; so the
    # probability is that of the union over the ends and all checks up to ``max_steps``.
    probable: Tensor
    vector: Tensor  # the unit Ritz vector, ``(batch, …)``
    steps: int  # applications of the map


def largest_eigenvalue(
    apply: Map, start: Tensor, *, tol: float, max_steps: int, lowest: float | None = None
) -> Ritz:
    """Largest eigenvalue of a symmetric map, sample by sample, with full reorthogonalisation.

    Parameters
    ----------
    apply
        Real-linear and symmetric for Re⟨·, ·⟩, on ``(batch, …)``.
    start
        Random vectors, normally distributed.
    tol, max_steps
        It stops when every residual is at most this fraction of its value, or after so many steps.
    lowest
        A number that no eigenvalue is below, if one is known.
    """
    dimension = start[0].numel() * (2 if start.is_complex() else 1)
    max_steps = min(max_steps, dimension)
    basis = [start / per_sample(norm(start), start)]
    diagonal: list[Tensor] = []
    beside: list[Tensor] = []
    broken = torch.zeros(start.shape[0], dtype=torch.bool, device=start.device)
    while True:
        w = apply(basis[-1])
        alpha = inner(w, basis[-1])
        # A space that is complete goes on with zero vectors; a value already met adds nothing.
        diagonal.append(alpha if not diagonal else torch.where(broken, diagonal[0], alpha))
        for _ in range(2):
            for v in basis:
                w = w - per_sample(inner(w, v), w) * v
        beta = norm(w)
        scale = torch.stack([*diagonal, *beside]).abs().amax(0)
        broken = broken | (beta <= 10 * torch.finfo(beta.dtype).eps * scale)
        beta = torch.where(broken, torch.zeros_like(beta), beta)
        steps = len(diagonal)
        check = steps >= FIRST_CHECK and (steps - FIRST_CHECK) % CHECK_EVERY == 0
        if check or steps == max_steps or bool(broken.all()):
            values, vectors = _eigen(diagonal, beside)
            residual = beta * vectors[:, -1, -1].abs().to(beta.dtype)
            small = residual <= tol * values[:, -1].abs().to(residual.dtype)
            # NaN stays in the values, and shows.
            if steps == max_steps or bool((small | residual.isnan()).all()):
                break
        beside.append(beta)
        basis.append(torch.where(per_sample(broken, w), 0 * w, w / per_sample(beta, w)))
    vector = torch.zeros_like(start)
    for k, v in enumerate(basis):
        vector = vector + per_sample(vectors[:, k, -1].to(beta.dtype), v) * v
    return Ritz(
        largest=values[:, -1].to(beta.dtype),
        smallest=values[:, 0].to(beta.dtype),
        residual=residual,
        probable=_probable(values, steps, max_steps, dimension, lowest).to(beta.dtype),
        vector=vector,
        steps=steps,
    )


def _eigen(diagonal: list[Tensor], beside: list[Tensor]) -> tuple[Tensor, Tensor]:
    matrix = torch.diag_embed(torch.stack(diagonal, 1).double())
    if beside:
        off = torch.stack(beside, 1).double()
        matrix = matrix + torch.diag_embed(off, 1) + torch.diag_embed(off, -1)
    finite = torch.isfinite(matrix).flatten(1).all(1)
    values, vectors = torch.linalg.eigh(matrix.nan_to_num(0, 0, 0))
    return torch.where(finite[:, None], values, torch.nan), vectors


def _probable(
    values: Tensor, steps: int, max_steps: int, dimension: int, lowest: float | None
) -> Tensor:
    smallest, largest = values[:, 0], values[:, -1]
    if steps >= dimension:
        return largest
    # Where the iteration may stop: the checks, the cap, and where the space is complete, which is
    # after as many steps as there are distinct eigenvalues, for almost every start.
    events = max(0, max_steps - FIRST_CHECK) // CHECK_EVERY + 3
    ends = 2 if lowest is None else 1
    root = math.log(1.648 * math.sqrt(dimension) * ends * events / FAILURE) / (2 * steps - 1)
    # Beyond the smallest Ritz value the spread exceeds that of the Ritz values at both ends by as
    # much; above a known number at one.
    taken = ends * root**2
    share = root**2 / (1 - taken) if taken < 1 else math.inf
    return largest + share * (largest - (smallest if lowest is None else lowest))
