"""Gradients of an equilibrium from the fixed point itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from molrecon.equilibrium.anderson import select
from molrecon.equilibrium.forward_backward import ForwardBackward
from molrecon.equilibrium.inclusion import Inclusion
from molrecon.equilibrium.solution import Solution
from molrecon.networks.precision import Arithmetic
from molrecon.operators.base import magnitude, per_sample


@dataclass(frozen=True)
class Equilibrium:
    """Solve an inclusion, differentiably.

    The backward pass solves the adjoint equation ``(I − J_Hᵀ + λAᴴA) w = ∂C/∂x*`` with the same
    kind of iteration (supplement, Algorithm 2). It holds one application of the network in memory
    at a time, whatever the number of iterations, and none between the forward and the backward
    pass: what was computed inside the network is computed again when it is wanted. Gradients reach
    the network's weights, λ, and through the right-hand side everything it was made of
    (measurements, σ).

    Parameters
    ----------
    forward, backward
        The two solvers, with tolerances of their own.
    raise_on_failure
        Raise `ConvergenceError` when a solve does not converge. If False, the forward status is
        in the `Solution` and the backward one goes to ``on_backward``; a sample whose adjoint
        solve failed then contributes no gradient, since it would be a wrong one.
    """

    forward: ForwardBackward = field(default_factory=ForwardBackward)
    backward: ForwardBackward = field(default_factory=ForwardBackward)
    raise_on_failure: bool = True

    def __call__(
        self,
        inclusion: Inclusion,
        x0: Tensor,
        *,
        certified: bool = False,
        on_backward: Callable[[Solution], None] | None = None,
    ) -> Solution:
        """Solve from ``x0``; the value carries gradients if gradients are enabled.

        Parameters
        ----------
        inclusion
            The equation; ``lam``, ``rhs`` and H's weights may require gradients.
        x0
            Starting image ``(batch, *shape_in)``; it affects the work, never the answer.
        certified
            Whether ``inclusion.monotonicity`` is proved.
        on_backward
            Receives the `Solution` of the adjoint solve.

        Raises
        ------
        ConvergenceError
            If ``raise_on_failure`` and the forward (or, in the backward pass, the adjoint) solve
            did not converge.
        """
        solution = self.forward(inclusion, x0, certified=certified)
        if self.raise_on_failure:
            solution.raise_unless_converged("forward solve")
        if not torch.is_grad_enabled():
            return solution
        x = solution.value.detach()
        h = checkpoint(inclusion.H, x, use_reentrant=False, preserve_rng_state=False)
        # −G at fixed x, but for what does not vary: its gradients are those of the equation.
        varied = h + inclusion.rhs - per_sample(inclusion.lam, x) * inclusion.A.normal(x)
        value = _Attach.apply(varied, x, inclusion, self, on_backward)  # type: ignore[no-untyped-call]
        return replace(
            solution,
            value=value,
            network_evaluations=solution.network_evaluations + 1,
            normal_evaluations=solution.normal_evaluations + 1,
        )


class _Attach(torch.autograd.Function):
    """Identity on x* whose backward pass is the adjoint solve, for −G at fixed x*."""

    @staticmethod
    def forward(
        ctx: Any,
        varied: Tensor,
        x: Tensor,
        inclusion: Inclusion,
        equilibrium: Equilibrium,
        on_backward: Callable[[Solution], None] | None,
    ) -> Tensor:
        ctx.x, ctx.arithmetic = x, Arithmetic.present(x.device.type)
        ctx.inclusion, ctx.equilibrium, ctx.on_backward = inclusion, equilibrium, on_backward
        return x.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        inclusion: Inclusion = ctx.inclusion
        x: Tensor = ctx.x
        with ctx.arithmetic.entered():
            product = _transposed_jacobian(inclusion.H, x)
        # Linear: in units of the gradient neither do squares of a small one vanish, which would
        # pass for a solution of zero, nor do those of a large one overflow.
        unit = magnitude(g)
        scaled = g / per_sample(unit, g)
        adjoint = replace(inclusion, H=product, rhs=scaled, lam=inclusion.lam.detach())
        # Mixed precision is that of the network's graph; the solve itself has none.
        with replace(ctx.arithmetic, autocast=None).entered():
            solution = ctx.equilibrium.backward(adjoint, torch.zeros_like(g))
        solution = replace(solution, value=solution.value * per_sample(unit, g))
        # The graph goes before that of the weights' gradient comes.
        del product, adjoint
        if ctx.on_backward is not None:
            ctx.on_backward(solution)
        if ctx.equilibrium.raise_on_failure:
            solution.raise_unless_converged("adjoint solve")
        w = select(solution.solved, solution.value, torch.zeros_like(g))
        return w, None, None, None, None


def _transposed_jacobian(H: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[Tensor], Tensor]:
    """Return w ↦ J_H(x)ᵀw."""
    point = x.detach().requires_grad_()
    with torch.enable_grad():
        h = H(point)

    def product(w: Tensor) -> Tensor:
        (value,) = torch.autograd.grad(h, point, w, retain_graph=True)
        return value

    return product
