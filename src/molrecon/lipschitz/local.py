"""Local values of a map: ‖J(x)‖₂ and the largest eigenvalue of the symmetric part of J(x)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from molrecon.lipschitz.lanczos import largest_eigenvalue
from molrecon.lipschitz.linearised import Linearised, Map
from molrecon.lipschitz.vectors import random_like

TOLERANCE = 2e-2
MAX_STEPS = 80


@dataclass(frozen=True)
class LocalLipschitz:
    """Local values at every sample, each ``(batch,)``, on the real two-channel view.

    Attributes
    ----------
    norm
        ‖Jv‖ for a unit v, ``(batch,)``: a lower bound on ‖J(x)‖₂ (but for rounding).
    norm_error
        A singular value of J lies within this distance of ``norm``, ``(batch,)``.
    norm_probable
        ‖J(x)‖₂ is at most this, ``(batch,)``, with a probability of 99 % over the random start (see
        `Ritz`), in which ``symmetric_probable`` holds too.
    symmetric, symmetric_error, symmetric_probable
        The same for ``λ_max((J + Jᵀ)/2)``, ``(batch,)``. H is m-monotone around x, in F = I − H,
        if and only if it is at most 1 − m.
    vector
        Unit v with ``‖Jv‖ = norm``, ``(batch, …)``.
    tol
        The tolerance asked for: the errors are at most this fraction of their values where
        ``converged``.
    converged
        Whether both errors are, boolean ``(batch,)``.
    steps
        Products with J and Jᵀ each, for both values.

    Examples
    --------
    >>> local = local_lipschitz(lambda x: 0.5 * x, torch.ones(1, 1, 4, 4))
    >>> bool(local.converged), 1 - round(local.symmetric.item(), 4)  # the monotonicity of x − f(x)
    (True, 0.5)
    """

    norm: Tensor
    norm_error: Tensor
    norm_probable: Tensor
    symmetric: Tensor
    symmetric_error: Tensor
    symmetric_probable: Tensor
    vector: Tensor
    tol: float
    converged: Tensor
    steps: int


def local_lipschitz(
    f: Map,
    x: Tensor,
    *,
    tol: float = TOLERANCE,
    max_steps: int = MAX_STEPS,
    start: Tensor | None = None,
    seed: int = 0,
) -> LocalLipschitz:
    """Local Lipschitz and monotonicity values of ``f`` at ``x``, by Lanczos on JᵀJ and (J + Jᵀ)/2.

    Parameters
    ----------
    f
        Differentiable map that keeps the shape of ``x``; samples must not interact.
    x
        ``(batch, …)``, real or complex.
    tol
        Tolerance on the residuals, relative to the values. The values themselves are usually much
        closer: their error is of second order in the residual where the eigenvalue is isolated.
    max_steps
        Cap on the steps of either value; so many vectors are kept.
    start
        Starting vectors, of the shape of ``x``; random if not given. The values are at least those
        of the start, but what is said to be probable is so for random ones alone.
    seed
        Seed of the random starts.

    Examples
    --------
    >>> local = local_lipschitz(lambda x: torch.sin(x), torch.full((1, 1, 4, 4), 0.5))
    >>> round(local.norm.item(), 4)  # the cosine of 0.5
    0.8776
    """
    derivative = Linearised(f, x)
    start = random_like(x, seed) if start is None else start

    # With σ² a Ritz value of JᵀJ and R its residual, (Jv/σ, v)/√2 has the residual R/(√2σ) with
    # the symmetric map (0, J; Jᵀ, 0), whose eigenvalues are the singular values of J.
    squares = largest_eigenvalue(
        derivative.gram, start, tol=2**0.5 * tol, max_steps=max_steps, lowest=0.0
    )
    value = squares.largest.clamp_min(0).sqrt()
    error = squares.residual / (2**0.5 * value.clamp_min(torch.finfo(value.dtype).tiny))
    ritz = largest_eigenvalue(derivative.symmetric, start, tol=tol, max_steps=max_steps)
    probable = squares.probable.clamp_min(0).sqrt()
    return LocalLipschitz(
        norm=value,
        norm_error=error,
        norm_probable=probable,
        symmetric=ritz.largest,
        symmetric_error=ritz.residual,
        # No eigenvalue of the symmetric part exceeds ‖J‖. Both statements hold together, each but
        # for a probability of `FAILURE`.
        symmetric_probable=torch.minimum(ritz.probable, probable),
        vector=squares.vector,
        tol=tol,
        converged=(error <= tol * value) & (ritz.residual <= tol * ritz.largest.abs()),
        steps=squares.steps + ritz.steps,
    )
