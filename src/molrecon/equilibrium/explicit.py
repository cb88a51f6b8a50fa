"""Equations solved by explicit gradient steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from molrecon.equilibrium.fixed_point import Equation, Iteration, Step, transposed_jacobian
from molrecon.lipschitz.linearised import Linearised
from molrecon.operators.base import norm


@dataclass(frozen=True)
class ExplicitEquation(Equation):
    """Find x with ``G(x) = S(x) − rhs = 0`` by ``x ← x − η G(x)``.

    There is no linear system to solve; the adjoint equation is of the same kind, with the
    transposed Jacobian of S in the place of S.

    Parameters
    ----------
    S
        The left side, on ``(batch, *shape_in)``, differentiable; it applies AᴴA once.
    rhs
        The right side of the same shape.
    length
        η > 0. It changes the speed and, since G(x*) = 0, never the answer: it cannot be learned.
    monotonicity
        m: the step is held to contract with ``1 − ηm``.
    lam
        Data weight of every sample, ``(batch,)``, for the record; None where there is none.
    """

    S: Callable[[Tensor], Tensor]
    rhs: Tensor
    length: float
    monotonicity: float
    lam: Tensor | None = None

    def moved(self, x: Tensor) -> Tensor:
        """Return ``x − η S(x)``."""
        return x - self.length * self.S(x)

    def step(self, alpha: float, inner: Any) -> Step:
        """Return the gradient step; ``alpha`` and ``inner`` play no role."""
        return GradientStep(self)

    def recorded_residual(self, x: Tensor) -> Tensor:
        """Return G(x), recorded for autograd but for the inside of S."""
        left = checkpoint(self.S, x, use_reentrant=False, preserve_rng_state=False)
        residual: Tensor = left - self.rhs
        return residual

    def adjoint(self, x: Tensor, g: Tensor) -> ExplicitEquation:
        """Return ``(∂S/∂x)ᵀ w = g`` at the point ``x``."""
        return replace(self, S=transposed_jacobian(self.S, x), rhs=g)

    def tangent(self, x: Tensor, g: Tensor) -> ExplicitEquation:
        """Return ``(∂S/∂x) w = g`` at the point ``x``."""
        return replace(self, S=Linearised(self.S, x).forward, rhs=g)


class GradientStep(Step):
    """``x ← x − η(S(x) − rhs)``, computed without any error but rounding."""

    def __init__(self, equation: ExplicitEquation) -> None:
        self._equation = equation
        self.contraction = 1 - equation.length * equation.monotonicity

    def __call__(self, x: Tensor, *, last: bool = False) -> Iteration:
        """Return the next image for images ``(batch, *shape_in)``; ``last`` plays no role."""
        equation = self._equation
        difference = equation.length * (equation.rhs - equation.S(x))
        self.network_evaluations += 1
        self.normal_evaluations += 1
        image = x + difference
        size = norm(image)
        return Iteration(image, difference, torch.zeros_like(size), size)
