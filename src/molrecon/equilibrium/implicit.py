"""Gradients of an equilibrium from the fixed point itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from molrecon.equilibrium.anderson import select
from molrecon.equilibrium.fixed_point import Equation
from molrecon.equilibrium.forward_backward import ForwardBackward
from molrecon.equilibrium.solution import Solution
from molrecon.linear.conjugate_gradient import ConjugateGradient
from molrecon.linear.regularised import only_once
from molrecon.networks.precision import Arithmetic
from molrecon.operators.base import magnitude, per_sample


@dataclass(frozen=True)
class Equilibrium:
    """Solve an equation ``G(x*) = 0``, differentiably.

    With x* held fixed G(x*) is recorded for autograd, and in the backward pass it receives the
    gradient ``−w``, where ``(∂G/∂x)ᵀ w = ∂C/∂x*`` is the adjoint equation (supplement,
    Algorithm 2), solved by the same kind of iteration. So gradients reach whatever G was made of
    (the network's weights, λ, measurements, σ, coil maps and other parameters of the operator),
    and each is right because autograd makes it. Its derivative in the incoming gradient is the
    tangent solve ``(∂G/∂x)⁻¹ v``, by which products with the Jacobian are made
    (`molrecon.lipschitz.linearised`). One application of the network is held in memory
    at a time, whatever the number of iterations, and none between the forward and the backward
    pass: what was computed inside the network is computed again when it is wanted.

    Parameters
    ----------
    forward
        Solver of the equation.
    backward
        Solver of the adjoint equation, with a tolerance of its own.
    raise_on_failure
        Raise `ConvergenceError` when a solve does not converge. If False, the forward status is
        in the `Solution` and the backward one goes to ``on_backward``; a sample whose adjoint
        solve failed then contributes no gradient, since it would be a wrong one.

    Examples
    --------
    >>> import torch
    >>> from molrecon import Denoising, Equilibrium, Inclusion
    >>> y = torch.ones(1, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    >>> A = Denoising((1, 4, 4), dtype=torch.float64)
    >>> equation = Inclusion(lambda x: 0.5 * x, A, torch.tensor([3.5]), y, monotonicity=0.5)
    >>> solution = Equilibrium()(equation, torch.zeros_like(y))
    >>> solution.value.sum().backward()
    >>> round(float(y.grad[0, 0, 0, 0]), 3)
    0.875
    """

    forward: ForwardBackward = field(default_factory=ForwardBackward)
    backward: ForwardBackward = field(default_factory=ForwardBackward)
    raise_on_failure: bool = True

    def __call__(
        self,
        equation: Equation,
        x0: Tensor,
        *,
        certified: bool = False,
        on_backward: Callable[[Solution], None] | None = None,
    ) -> Solution:
        """Solve from ``x0``; the value carries gradients if gradients are enabled.

        Parameters
        ----------
        equation
            The equation; whatever it is made of may require gradients.
        x0
            Starting images ``(batch, *shape_in)``; they affect the work, never the answer.
        certified
            Whether ``equation.monotonicity`` is proved.
        on_backward
            Receives the `Solution` of the adjoint solve.

        Raises
        ------
        ConvergenceError
            If ``raise_on_failure`` and the forward (or, in the backward pass, the adjoint) solve
            did not converge.
        """
        solution = self.forward(equation, x0, certified=certified)
        if self.raise_on_failure:
            solution.raise_unless_converged("forward solve")
        if not torch.is_grad_enabled():
            return solution
        x = solution.value.detach()
        g = equation.recorded_residual(x)
        value = _Attach.apply(g, x, equation, self, on_backward)  # type: ignore[no-untyped-call]
        return replace(
            solution,
            value=value,
            network_evaluations=solution.network_evaluations + 1,
            normal_evaluations=solution.normal_evaluations + 1,
        )


def published_equilibrium() -> Equilibrium:
    """Return the solver settings of the published code, for comparison (use ``shift=0.1``).

    α = 0.01, five CG iterations per step, at most 500 steps, stopped when the iterate changes by
    less than 1e-4.
    """
    solver = ForwardBackward(
        alpha=0.01,
        tol=1e-4,
        stopping="relative-change",
        max_iterations=500,
        memory=0,
        inner=ConjugateGradient(rtol=0.0, max_iterations=5, preconditioned=False),
    )
    return Equilibrium(forward=solver, backward=solver)


class _Attach(torch.autograd.Function):
    """Return x*; send ``−w`` to G(x*) in the backward pass, w being the adjoint solution."""

    @staticmethod
    def forward(
        ctx: Any,
        g: Tensor,
        x: Tensor,
        equation: Equation,
        equilibrium: Equilibrium,
        on_backward: Callable[[Solution], None] | None,
    ) -> Tensor:
        ctx.save_for_backward(g)
        ctx.settings = x, equation, equilibrium, on_backward, Arithmetic.present(x.device.type)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (g,) = ctx.saved_tensors
        w = _Adjoint.apply(gradient, only_once(g), *ctx.settings)  # type: ignore[no-untyped-call]
        return -w, None, None, None, None


class _Adjoint(torch.autograd.Function):
    """``(∂G/∂x)⁻ᵀ u`` at x*; its derivative in u is the tangent solve ``(∂G/∂x)⁻¹ v``."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, g: Tensor, *settings: Any) -> Tensor:
        ctx.settings = settings
        return _linear_solve("adjoint", u, *settings)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
        d = _linear_solve("tangent", v, *ctx.settings)
        return d, torch.zeros_like(v), *(None for _ in ctx.settings)


def _linear_solve(
    kind: Literal["adjoint", "tangent"],
    rhs: Tensor,
    x: Tensor,
    equation: Equation,
    equilibrium: Equilibrium,
    on_backward: Callable[[Solution], None] | None,
    arithmetic: Arithmetic,
) -> Tensor:
    # Linear: in units of the gradient neither do squares of a small one vanish, which would
    # pass for a solution of zero, nor do those of a large one overflow.
    unit = magnitude(rhs)
    scaled = rhs / per_sample(unit, rhs)
    with arithmetic.entered():
        linear = equation.adjoint(x, scaled) if kind == "adjoint" else equation.tangent(x, scaled)
    # Mixed precision is that of the network's graph; the solve itself has none.
    with replace(arithmetic, autocast=None).entered():
        solution = equilibrium.backward(linear, torch.zeros_like(scaled))
    # The graph goes before that of the weights' gradient comes.
    del linear
    solution = replace(solution, value=solution.value * per_sample(unit, rhs))
    if on_backward is not None:
        on_backward(solution)
    if equilibrium.raise_on_failure:
        solution.raise_unless_converged(f"{kind} solve")
    return select(solution.solved, solution.value, torch.zeros_like(rhs))
