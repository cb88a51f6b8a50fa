"""The solution of (I + c AᴴA) x = r as a differentiable function, with an implicit gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from molrecon.linear.solution import LinearSolution, Solver, as_weights
from molrecon.linear.solver import LinearSolver
from molrecon.linear.status import Status
from molrecon.operators.base import LinearOperator, magnitude, per_sample

Report = Callable[[str, LinearSolution], None]


def solve_regularised(
    A: LinearOperator,
    c: Tensor | float,
    r: Tensor,
    x0: Tensor | None = None,
    *,
    solver: Solver | None = None,
    report: Report | None = None,
) -> Tensor:
    """Return the solution of ``(I + c AᴴA) x = r``, differentiably.

    The gradient is implicit, never through the iterations: with ``g = ∂C/∂x`` one more solve
    gives ``w = (I + cAᴴA)⁻¹ g``, and the gradient of C is that of ``Re⟨w, r − cAᴴAx⟩`` at fixed w
    and x: with respect to r, to c, and to tensors that A holds (coil maps).

    Parameters
    ----------
    A
        The operator; tensors that it holds may require gradients.
    c
        Non-negative weight, a number or ``(batch,)``; it may require a gradient.
    r
        Right-hand side, ``(batch, *A.shape_in)``; it may require a gradient.
    x0
        Starting point of conjugate gradients, of the same shape; zero if not given.
    solver
        The solver of both solves; by default the operator's closed form or else conjugate
        gradients to a residual of 1e-6.
    report
        Receives ``"forward"`` or ``"backward"`` and the `LinearSolution`; failures then raise
        nothing, and a sample whose backward solve failed passes no gradient on.

    Raises
    ------
    ConvergenceError
        If the forward or the backward solve does not reach its tolerance and there is no
        ``report``.

    Examples
    --------
    >>> import torch
    >>> from molrecon import Denoising, solve_regularised
    >>> c = torch.tensor([3.0], requires_grad=True)
    >>> x = solve_regularised(Denoising((1, 4, 4)), c, torch.full((1, 1, 4, 4), 8.0))
    >>> x.mean().backward()
    >>> c.grad
    tensor([-0.5000])
    """
    weights, solver = as_weights(c, r), solver or LinearSolver()
    solution = solver(A, weights, r, x0)
    _report(report, "forward", solution)
    x = solution.value.detach()
    if not torch.is_grad_enabled():
        return x
    varied = r - per_sample(weights, x) * A.normal(x)
    if not varied.requires_grad:
        return x
    return _Attach.apply(varied, x, A, weights.detach(), solver, report)  # type: ignore[no-any-return, no-untyped-call]


class _Attach(torch.autograd.Function):
    """Identity on x whose backward pass is the adjoint solve, for ``r − cAᴴAx`` at fixed x."""

    @staticmethod
    def forward(
        ctx: Any,
        varied: Tensor,
        x: Tensor,
        A: LinearOperator,
        c: Tensor,
        solver: Solver,
        report: Report | None,
    ) -> Tensor:
        ctx.save_for_backward(varied)
        ctx.settings = A, c, solver, report
        return x.clone()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        (varied,) = ctx.saved_tensors
        w = _Solve.apply(g, only_once(varied), *ctx.settings)  # type: ignore[no-untyped-call]
        return w, None, None, None, None, None


class _Solve(torch.autograd.Function):
    """``(I + cAᴴA)⁻¹ g``; the matrix is its own adjoint, so its derivative in g is one more."""

    @staticmethod
    def forward(
        ctx: Any,
        g: Tensor,
        varied: Tensor,
        A: LinearOperator,
        c: Tensor,
        solver: Solver,
        report: Report | None,
    ) -> Tensor:
        ctx.settings = A, c, solver, report
        # Linear: in units of the gradient neither do squares of a small one vanish, which would
        # pass for a solution of zero, nor do those of a large one overflow.
        unit = magnitude(g)
        solution = solver(A, c, g / per_sample(unit, g))
        _report(report, "backward", solution)
        solved = [status is Status.CONVERGED for status in solution.status]
        keep = per_sample(torch.tensor(solved, device=g.device), g)
        w = torch.where(keep, solution.value, torch.zeros_like(g))
        return w * per_sample(unit, w)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
        w = _Solve.apply(v, v, *ctx.settings)  # type: ignore[no-untyped-call]
        return w, torch.zeros_like(v), None, None, None, None


def only_once(varied: Tensor) -> Tensor:
    """Return ``varied``, in which an implicit gradient must not be differentiated once more.

    The gradient is linear in the gradient that it is made of, and that derivative, which products
    with the Jacobian need, is exact. How it depends on what the equation is made of is not known
    to autograd: a second derivative would silently lack a part.

    Parameters
    ----------
    varied
        What the equation is made of.

    Raises
    ------
    RuntimeError
        In the backward pass, if there is one.
    """
    return _OnlyOnce.apply(varied)  # type: ignore[no-any-return, no-untyped-call]


class _OnlyOnce(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, varied: Tensor) -> Tensor:
        return varied.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        raise RuntimeError(
            "an implicit gradient was to be differentiated again, expected first derivatives only"
        )


def _report(report: Report | None, which: str, solution: LinearSolution) -> None:
    if report is None:
        solution.raise_unless_converged(f"{which} linear solve")
    else:
        report(which, solution)
