"""Solves (I + c AᴴA) x = r by the operator's closed form, or else by conjugate gradients."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from molrecon.linear.conjugate_gradient import ConjugateGradient
from molrecon.linear.solution import LinearSolution, as_weights, statuses
from molrecon.operators.base import LinearOperator, norm, per_sample

ROUNDING = 16.0
"""Residual that is accepted of a closed form, in units of the rounding of what it is made of."""

PASSES = 3
"""Applications of a closed form before conjugate gradients take over."""


@dataclass(frozen=True)
class LinearSolver(ConjugateGradient):
    """Solve ``(I + c AᴴA) x = r`` directly where A has a `resolvent`, else iteratively.

    A closed form is applied as exactly as the arithmetic allows. The residual is computed from its
    definition, in double precision. Where rounding left more of it than it has to (large c, in
    single precision), the equation is solved again with the residual on its right and the result
    is added: iterative refinement, of each sample by itself, which seldom takes more than one
    extra pass. If `PASSES` of them leave a sample unsolved, the closed form is not one, and
    conjugate gradients go on from what it gave.

    The error of a closed form is measured where it counts, in the image: of a residual that is
    rounding, most lies in the range of Aᴴ, where the inverse shrinks it by up to ``1 + c‖A‖²``. So
    it is the norm of the closed form at the residual, plus a rounding of the image.

    Parameters
    ----------
    rtol
        Of conjugate gradients: a sample stops when its residual is at most ``rtol`` times the
        reference, in [0, 1).
    relative_to
        The reference: ``"rhs"``, the norm of r, or ``"start"``, the residual at the starting
        point, so that a warm start is always improved by the factor ``rtol``.
    max_iterations
        Cap on their iterations.
    preconditioned
        Whether they use `LinearOperator.preconditioner`.

    Examples
    --------
    >>> import torch
    >>> from molrecon import Denoising, LinearSolver
    >>> solution = LinearSolver()(Denoising((1, 4, 4)), 3.0, torch.full((1, 1, 4, 4), 8.0))
    >>> solution.value[0, 0, 0, 0].item(), int(solution.iterations)
    (2.0, 1)
    """

    @torch.no_grad()
    def __call__(
        self, A: LinearOperator, c: Tensor | float, r: Tensor, x0: Tensor | None = None
    ) -> LinearSolution:
        """Solve without recording gradients; see `ConjugateGradient` for the arguments.

        A closed form needs no start: its solution starts at zero and counts passes as iterations.
        `solve_regularised` is the differentiable call.
        """
        weights = as_weights(c, r)
        correction = A.resolvent(weights, r)
        if correction is None:
            return super().__call__(A, c, r, x0)
        x, start = torch.zeros_like(r), norm(r)
        passes = torch.zeros(r.shape[0], dtype=torch.int64, device=r.device)
        active = torch.ones_like(passes, dtype=torch.bool)
        evaluations = 0
        while True:
            x = torch.where(per_sample(active, x), x + correction, x)
            passes += active
            evaluations += 1
            residual = _residual(A.in_double, weights, r, x)
            final = norm(residual)
            accepted = _rounding(A, weights, start, norm(x))
            active = final > accepted
            unfinished = bool(active.any())
            if unfinished and evaluations == PASSES:
                other = super().__call__(A, c, r, x)
                return replace(other, normal_evaluations=other.normal_evaluations + evaluations)
            correction = A.resolvent(weights, residual)
            assert correction is not None
            if not unfinished:
                break
        rounding = torch.finfo(final.dtype).eps * norm(x)
        return LinearSolution(
            value=x,
            status=statuses(final, accepted),
            iterations=passes,
            residual=final,
            error=torch.minimum(norm(correction), final) + rounding,
            initial_residual=start,
            normal_evaluations=evaluations,
        )


def solve(
    A: LinearOperator, c: Tensor | float, r: Tensor, x0: Tensor | None = None, **settings: Any
) -> LinearSolution:
    """Solve ``(I + c AᴴA) x = r`` by the operator's closed form, or else by conjugate gradients.

    The weight c ≥ 0 is a number or ``(batch,)``, r and the start x0 (by default zero) are ``(batch,
    *shape_in)``; the settings are ``rtol``, ``relative_to``, ``max_iterations`` and
    ``preconditioned`` of `LinearSolver`.
    """
    return LinearSolver(**settings)(A, c, r, x0)


def _residual(A: LinearOperator, c: Tensor, r: Tensor, x: Tensor) -> Tensor:
    """``r − (I + c AᴴA) x``, computed in the precision of A and returned in that of r."""
    wide = x.to(A.dtype)
    return (r - wide - per_sample(c, wide) * A.normal(wide)).to(r.dtype)


def _rounding(A: LinearOperator, c: Tensor, r: Tensor, x: Tensor) -> Tensor:
    """Residual that the rounding of r, x and cAᴴAx leaves, from the norms of r and x."""
    eps = torch.finfo(r.dtype).eps
    return ROUNDING * eps * (r + (1 + c * A.nominal_norm**2) * x)
