"""Linear least squares, ``λ‖Ax − y‖² + ‖x‖²``, and how far an image is from the minimiser."""

from __future__ import annotations

import time
from dataclasses import replace

import torch
from torch import Tensor

from molrecon.arguments import require_positive
from molrecon.equilibrium.operator_model import follows_model, operator_norm, operator_rounding
from molrecon.equilibrium.robustness import robustness_constant
from molrecon.equilibrium.solution import OPERATOR_AS_ASSUMED, Guarantee, Solution
from molrecon.linear.regularised import solve_regularised
from molrecon.linear.solution import LinearSolution
from molrecon.linear.solver import LinearSolver
from molrecon.linear.status import Status
from molrecon.operators.base import LinearOperator, magnitude, norm, per_sample
from molrecon.operators.checks import check_measurements

DEFAULT_TOL = 1e-3

IDENTITY = "the matrix of the linear system is at least the identity"

KSPACE_COPIES = 8
"""Arrays of the size of the measurements that are held while the bound is computed in double
precision: they in their unit and, twice as large, again, coil maps, and what is predicted; once
more while its coils are put together."""

SHARE_OF_TOLERANCE = 0.1
"""What the linear solve of the tight bound may add to it, in units of the tolerance."""


def regularised_least_squares(
    y: Tensor,
    A: LinearOperator,
    lam: Tensor | float,
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
        λ of every sample, ``(batch,)``, or a number for all.
    tol
        Largest relative distance to the minimiser, in (0, 1], 1e-3 by default; that of the
        gradient too.
    max_iterations
        Cap on the iterations of a linear solve.
    raise_on_failure
        Whether a solve that fails raises; if False, it is a status of the solution, and in the
        backward pass its sample has no gradient.

    Raises
    ------
    InputError
        If y and A are of different precision or do not fit together, or y is not finite.
    ConvergenceError
        If a solve fails, or rounding keeps it from its tolerance, and failures are to raise.
    """
    started = time.perf_counter()
    check_measurements(y, A)
    tol = DEFAULT_TOL if tol is None else tol
    require_positive("tol", tol, most=1)
    lam = torch.as_tensor(lam, dtype=y.real.dtype, device=y.device).expand(y.shape[0])
    # The map is linear, so the unit is a constant as far as the gradient is concerned.
    unit = magnitude(y.detach())
    y = y / per_sample(unit, y)
    back = A.H(y)
    solves: list[LinearSolution] = []

    def report(direction: str, linear: LinearSolution) -> None:
        if raise_on_failure:
            linear.raise_unless_converged(f"{direction} linear solve")
        solves.append(linear)

    solver = _solver(A, lam.detach(), tol, max_iterations)
    x = solve_regularised(A, lam, per_sample(lam, back) * back, solver=solver, report=report)
    linear, bound = _bounded(solves[0], A, lam.detach(), y.detach(), tol, max_iterations)
    if linear is not solves[0]:
        x = x + (linear.value - x).detach()  # the gradient is that of the equation
    solution = _solution(linear, bound, A, lam.detach())
    solution = replace(solution, value=x * per_sample(unit, x)).held_to(tol)
    if raise_on_failure:
        solution.raise_unless_converged("linear solve")
    return replace(solution, seconds=time.perf_counter() - started)


def _solver(A: LinearOperator, lam: Tensor, tol: float, max_iterations: int) -> LinearSolver:
    # ‖x‖ ≥ ‖λAᴴy‖ / (1 + λ‖A‖²), so this residual leaves an error of at most tol · ‖x‖.
    largest = float((lam * A.nominal_norm.to(lam.dtype) ** 2).max())
    rtol = min(tol, 0.5) / (1 + largest)
    return LinearSolver(rtol=rtol, max_iterations=max_iterations)


@torch.no_grad()
def _bounded(
    linear: LinearSolution, A: LinearOperator, lam: Tensor, y: Tensor, tol: float, limit: int
) -> tuple[LinearSolution, Tensor]:
    """Bound the distance, and go on in double precision where rounding keeps it too large.

    Conjugate gradients in single precision lose the residual at about 1e-5 of the right-hand side;
    what is left is computed from its definition in double precision, solved for there and added,
    so that only the rounding of the image remains.
    """
    solved = torch.tensor([one is Status.CONVERGED for one in linear.status], device=y.device)
    double, bound = A.in_double, distance_bound(A, lam, y, linear.value, tol=tol)
    coarse = solved & (bound > tol)
    if double is A or not bool(coarse.any()):
        return linear, bound
    x, wide = linear.value.to(double.dtype), lam.double()
    residual = per_sample(wide, x) * double.H(y.to(x.dtype) - double(x)) - x
    # The matrix is at least the identity: an error is at most its residual.
    allowed = SHARE_OF_TOLERANCE * tol * norm(x) / norm(residual)
    solver = LinearSolver(rtol=min(0.5, float(allowed[coarse].min())), max_iterations=limit)
    further = solver(double, wide, residual)
    better = per_sample(coarse, x)
    finer = replace(
        linear,
        value=torch.where(better, x + further.value, x).to(linear.value.dtype),
        iterations=linear.iterations + further.iterations * coarse,
        residual=torch.where(coarse, further.residual.to(linear.residual), linear.residual),
        normal_evaluations=linear.normal_evaluations + further.normal_evaluations + 1,
    )
    return finer, distance_bound(A, lam, y, finer.value, tol=tol)


def _solution(linear: LinearSolution, bound: Tensor, A: LinearOperator, lam: Tensor) -> Solution:
    known = follows_model(A)
    return Solution(
        value=linear.value,
        status=linear.status,
        iterations=linear.iterations,
        normal_evaluations=linear.normal_evaluations + 1,
        relative_residual=linear.residual
        / norm(linear.value).clamp_min(torch.finfo(bound.dtype).tiny),
        guarantee=Guarantee(
            error_bound=bound,
            proved=known,
            rests_on=IDENTITY if known else OPERATOR_AS_ASSUMED,
            monotonicity=1.0,
            robustness=robustness_constant(lam, 1.0),
        ),
        lam=lam,
    )


@torch.no_grad()
def distance_bound(A: LinearOperator, lam: Tensor, y: Tensor, x: Tensor, *, tol: float) -> Tensor:
    """Return a bound on ``‖x − x*‖ / ‖x‖``, x* being the exact minimiser, ``(batch,)``.

    With ``M = I + λAᴴA`` and the residual ``r = λAᴴ(y − Ax) − x`` it is ``‖x − x*‖ = ‖M⁻¹r‖``. M is
    at least I, so this is at most ``‖r‖``; with any u it is at most ``‖u‖ + ‖r − Mu‖``, which for
    u near ``M⁻¹r`` is the distance itself, and does not count what λ enlarges in r and M⁻¹ makes
    small again. The rounding of r is added. Where the bound is above the tolerance all the same,
    it is computed in double precision.

    Parameters
    ----------
    A
        The forward operator.
    lam
        λ of every sample, ``(batch,)``.
    y
        Measurements ``(batch, *A.shape_out)``.
    x
        Any image ``(batch, *A.shape_in)``, in the unit of ``y``.
    tol
        A bound of at most this size is not tightened.
    """
    size = norm(x)
    found = _distance(A, lam, y, x, tol)
    if bool((found > tol * size).any()) and A is not A.in_double:
        double = A.in_double
        tight = _distance(double, lam.double(), y.to(double.dtype), x.to(double.dtype), tol)
        found = torch.minimum(found, tight.to(found.dtype))
    # The image is rounded once more, when it is multiplied by its unit.
    eps = torch.finfo(x.dtype).eps
    return found / size.clamp_min(torch.finfo(size.dtype).tiny) + eps * (size > 0)


def _distance(A: LinearOperator, lam: Tensor, y: Tensor, x: Tensor, tol: float) -> Tensor:
    size, gain = norm(x), operator_norm(A).to(lam.dtype)
    mismatch = y - A(x)
    residual = per_sample(lam, x) * A.H(mismatch) - x
    # An error of Ax counts by ‖M⁻¹λAᴴ‖ ≤ √λ/2, and one of Aᴴ(y − Ax) by λ.
    rounding = lam.sqrt() / 2 * (norm(y) + gain * size) + lam * gain * norm(mismatch)
    unit = operator_rounding(A) * torch.finfo(x.dtype).eps / 2
    found = norm(residual)
    if bool((found > tol * size).any()):
        tiny = torch.finfo(lam.dtype).tiny
        allowed = SHARE_OF_TOLERANCE * tol * size / found.clamp_min(tiny)
        u = LinearSolver(rtol=min(0.5, float(allowed.min())))(A, lam, residual).value
        # However much of it is left unsolved, it is counted, with its rounding.
        rest = residual - u - per_sample(lam, u) * A.normal(u)
        rounding = rounding + (1 + 2 * lam * gain**2) * norm(u)
        found = torch.minimum(found, norm(u) + norm(rest))
    return found + unit * (rounding + size)
