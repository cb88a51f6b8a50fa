"""Equilibria of explicit gradient steps, by the machinery of the splitting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from molrecon.equilibrium.implicit import Equilibrium
from molrecon.equilibrium.inclusion import Inclusion
from molrecon.equilibrium.solution import Solution
from molrecon.linear.solution import LinearSolution
from molrecon.linear.status import Status
from molrecon.operators.base import LinearOperator


@dataclass(frozen=True)
class ExplicitEquation:
    """Find x with ``G(x) = 0`` by ``x ← x − η G(x)``, where ``G(x) = S(x) − rhs``.

    With ``H(x) = x − η S(x)`` this is the `Inclusion` ``x − H(x) = η rhs`` without a data term of
    its own, so forward solve, acceleration, safeguard and implicit gradient are those of
    `Equilibrium`, and nothing is left of its linear systems.

    Attributes
    ----------
    S
        The left side, on ``(batch, *shape_in)``, differentiable.
    rhs
        The right side of the same shape.
    A
        The operator that S applies once, for the count of its applications.
    step
        η > 0. It changes the speed and, since G(x*) = 0, never the answer: it cannot be learned.
    monotonicity
        m: the step is held to contract with ``1 − ηm``.
    """

    S: Callable[[Tensor], Tensor]
    rhs: Tensor
    A: LinearOperator
    step: float
    monotonicity: float

    def moved(self, x: Tensor) -> Tensor:
        """Return ``H(x) = x − η S(x)``."""
        return x - self.step * self.S(x)

    def solve(
        self,
        equilibrium: Equilibrium,
        x0: Tensor,
        *,
        certified: bool = False,
        on_backward: Callable[[Solution], None] | None = None,
    ) -> Solution:
        """Solve from ``x0``; arguments, value and failures are those of `Equilibrium`."""
        explicit = replace(
            equilibrium,
            forward=replace(equilibrium.forward, alpha=1.0, inner=_NothingToSolve()),
            backward=replace(equilibrium.backward, alpha=1.0, inner=_NothingToSolve()),
        )
        inclusion = Inclusion(
            H=self.moved,
            A=self.A,
            lam=torch.zeros(x0.shape[0], dtype=x0.real.dtype, device=x0.device),
            rhs=self.step * self.rhs,
            monotonicity=self.step * self.monotonicity,
        )
        solution = explicit(inclusion, x0, certified=certified, on_backward=on_backward)
        assert solution.guarantee is not None
        return replace(
            solution,
            normal_evaluations=solution.network_evaluations,
            guarantee=replace(solution.guarantee, monotonicity=self.monotonicity),
        )


class _NothingToSolve:
    """The solver of ``(I + 0 · AᴴA) x = r``."""

    def __call__(
        self, A: LinearOperator, c: Tensor | float, r: Tensor, x0: Tensor | None = None
    ) -> LinearSolution:
        zero = torch.zeros(r.shape[0], dtype=r.real.dtype, device=r.device)
        return LinearSolution(
            value=r,
            status=(Status.CONVERGED,) * r.shape[0],
            iterations=zero.to(torch.int64),
            residual=zero,
            error=zero,
            initial_residual=zero,
            normal_evaluations=0,
        )
