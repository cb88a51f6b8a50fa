"""Regularised SENSE: the linear least-squares reconstruction."""

from __future__ import annotations

import time
from dataclasses import replace

import torch
from torch import Tensor

from molrecon.equilibrium.robustness import robustness_constant
from molrecon.equilibrium.solution import Guarantee, Solution
from molrecon.errors import InputError
from molrecon.linear.closed_form import ClosedForm
from molrecon.linear.conjugate_gradient import ConjugateGradient, LinearSolution
from molrecon.linear.regularised import require_converged, solve_regularised
from molrecon.operators.base import LinearOperator, magnitude, norm, per_sample
from molrecon.operators.checks import check_precision
from molrecon.reconstructors.base import Reconstructor

PUBLISHED_LAM = 100.0
DEFAULT_TOL = 1e-3


class SENSE(Reconstructor):
    """``min_x λ‖Ax − y‖² + ‖x‖²``, that is ``(I + λAᴴA) x = λAᴴy``.

    Pruessmann et al. 1999/2001 with Tikhonov weight 1/λ. The default λ = 100 is the published
    one; it has no unit, since ‖A‖ ≤ 1 for coil maps of unit root sum of squares. The noise level
    has no effect.

    The error bound is that of the linear solve: the matrix is at least I, so
    ``‖x − x*‖ ≤ ‖residual‖``. The image moves by at most ``½√λ‖Δy‖`` (`robustness_constant`).

    Parameters
    ----------
    lam
        Weight λ > 0 of the data term.
    max_iterations
        Cap on the iterations of the linear solve, for operators without a closed form.

    Raises
    ------
    InputError
        If an argument is not positive.

    Examples
    --------
    >>> import torch
    >>> from molrecon import SENSE, Denoising
    >>> solution = SENSE(lam=9.0)(torch.ones(1, 1, 4, 4), Denoising((1, 4, 4)))
    >>> round(solution.value.mean().item(), 6), solution.robustness.item()
    (0.9, 1.5)
    """

    name = "sense"

    def __init__(self, lam: float = PUBLISHED_LAM, *, max_iterations: int = 500) -> None:
        require_weight(lam)
        self.lam, self.max_iterations = lam, max_iterations

    def __call__(
        self,
        y: Tensor,
        A: LinearOperator,
        *,
        sigma: Tensor | float | None = None,
        tol: float | None = None,
        raise_on_failure: bool = True,
    ) -> Solution:
        """Reconstruct, see `Reconstructor`; ``tol`` is 1e-3 by default."""
        lam = torch.full((y.shape[0],), self.lam, dtype=y.real.dtype, device=y.device)
        return regularised_least_squares(
            y,
            A,
            lam,
            tol=tol,
            max_iterations=self.max_iterations,
            raise_on_failure=raise_on_failure,
        )


def require_weight(lam: float) -> None:
    """Refuse a weight of the data term that is not positive.

    Raises
    ------
    InputError
        If it is not.
    """
    if not lam > 0:
        raise InputError(f"lam is {lam}, expected a positive weight")


def regularised_least_squares(
    y: Tensor,
    A: LinearOperator,
    lam: Tensor,
    *,
    tol: float | None = None,
    max_iterations: int = 500,
    raise_on_failure: bool = True,
) -> Solution:
    """Return the minimiser of ``λ‖Ax − y‖² + ‖x‖²``, differentiable with respect to y and λ.

    Parameters
    ----------
    y
        Measurements ``(batch, *A.shape_out)``, in any unit.
    A
        The forward operator.
    lam
        λ of every sample, ``(batch,)``.
    tol
        Largest relative distance to the minimiser, 1e-3 by default; that of the gradient too.
    max_iterations
        Cap on the iterations of a linear solve.
    raise_on_failure
        Whether a solve that fails raises; if False, it is a status of the solution, and in the
        backward pass its sample has no gradient.

    Raises
    ------
    InputError
        If y and A are of different precision or do not fit together.
    ConvergenceError
        If a solve fails and failures are to raise.
    """
    started = time.perf_counter()
    check_precision(y, A)
    # The map is linear, so the unit is a constant as far as the gradient is concerned.
    unit = magnitude(y.detach())
    back = A.H(y / per_sample(unit, y))
    rhs = per_sample(lam, back) * back
    # ‖x‖ ≥ ‖λAᴴy‖ / (1 + λ‖A‖²), so this residual leaves an error of at most tol · ‖x‖.
    largest = float((lam.detach() * A.nominal_norm.to(lam.dtype) ** 2).max())
    rtol = min(DEFAULT_TOL if tol is None else tol, 0.5) / (1 + largest)
    solves: list[LinearSolution] = []

    def report(direction: str, linear: LinearSolution) -> None:
        if raise_on_failure:
            require_converged(direction, linear)
        solves.append(linear)

    x = solve_regularised(
        A,
        lam,
        rhs,
        solver=ClosedForm(ConjugateGradient(rtol=rtol, max_iterations=max_iterations)),
        report=report,
    )
    solution = _solution(A, lam.detach(), rhs.detach(), solves[0])
    return replace(solution, value=x * per_sample(unit, x), seconds=time.perf_counter() - started)


@torch.no_grad()
def _solution(A: LinearOperator, lam: Tensor, rhs: Tensor, linear: LinearSolution) -> Solution:
    x = linear.value
    residual = rhs - x - per_sample(lam, x) * A.normal(x)
    bound = norm(residual) / norm(x).clamp_min(torch.finfo(x.real.dtype).tiny)
    return Solution(
        value=x,
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
    )
