"""Regularised SENSE: the linear least-squares reconstruction."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from molrecon.equilibrium.robustness import robustness_constant
from molrecon.equilibrium.solution import Guarantee, Solution
from molrecon.errors import InputError
from molrecon.linear.closed_form import ClosedForm
from molrecon.linear.conjugate_gradient import ConjugateGradient
from molrecon.linear.solver import LinearSolver
from molrecon.operators.base import LinearOperator, magnitude, norm, per_sample

PUBLISHED_LAM = 100.0


class SENSE:
    """``min_x λ‖Ax − y‖² + ‖x‖²``, that is ``(I + λAᴴA) x = λAᴴy``.

    Pruessmann et al. 1999/2001 with Tikhonov weight 1/λ. The default λ = 100 is the published
    one; it has no unit, since ‖A‖ ≤ 1 for coil maps of unit root sum of squares.

    Parameters
    ----------
    lam
        Weight λ > 0 of the data term.
    solver
        The linear solver; by default the operator's closed form or else conjugate gradients.
    """

    def __init__(self, lam: float = PUBLISHED_LAM, solver: LinearSolver | None = None) -> None:
        if not lam > 0:
            raise InputError(f"lam is {lam}, expected a positive weight")
        self.lam = lam
        self.solver = solver or ClosedForm(ConjugateGradient(rtol=1e-5))

    @torch.no_grad()
    def __call__(self, y: Tensor, A: LinearOperator) -> Solution:
        """Reconstruct measurements ``(batch, *A.shape_out)``.

        The error bound is that of the linear solve: the matrix is at least I, so
        ``‖x − x*‖ ≤ ‖residual‖``.
        """
        lam = torch.full((y.shape[0],), self.lam, dtype=y.real.dtype, device=y.device)
        return regularised_least_squares(y, A, lam, self.solver)


@torch.no_grad()
def regularised_least_squares(
    y: Tensor, A: LinearOperator, lam: Tensor, solver: LinearSolver
) -> Solution:
    """Return the minimiser of ``λ‖Ax − y‖² + ‖x‖²``, with λ of every sample, ``(batch,)``.

    The error bound is that of the linear solve, as in `SENSE`. The equation is that of
    `robustness_constant` with ``F(x) = x``, so the image moves by at most ``½√λ‖Δy‖``, λ fixed.
    """
    started = time.perf_counter()
    unit = magnitude(y)
    back = A.H(y / per_sample(unit, y))
    weight = per_sample(lam, back)
    rhs = weight * back
    linear = solver(A, lam, rhs)
    x = linear.value
    explicit = rhs - x - weight * A.normal(x)
    bound = norm(explicit) / norm(x).clamp_min(torch.finfo(x.real.dtype).tiny)
    return Solution(
        value=x * per_sample(unit, x),
        status=linear.status,
        iterations=linear.iterations,
        network_evaluations=0,
        normal_evaluations=linear.normal_evaluations + 1,
        relative_residual=bound,
        guarantee=Guarantee(
            error_bound=bound,
            proved=True,
            rests_on="the matrix of the linear system is at least the identity",
            monotonicity=1.0,
            robustness=robustness_constant(lam, 1.0),
        ),
        lam=lam,
        seconds=time.perf_counter() - started,
    )
