"""Equations solved by explicit gradient steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from molrecon.equilibrium.fixed_point import Equation, Iteration, Step
from molrecon.equilibrium.of_samples import Map, OfSamples, TransposedJacobian, part_of, rows
from molrecon.lipschitz.linearised import Linearised
from molrecon.operators.base import LinearOperator, norm, per_sample


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

    def for_samples(self, samples: Tensor) -> ExplicitEquation | None:
        """Return the equation of some samples of the batch; None where S is not known so.

        Parameters
        ----------
        samples
            Their numbers, int64 ``(count,)``.
        """
        S = part_of(self.S, samples)
        if S is None:
            return None
        lam = None if self.lam is None else rows(self.lam, samples)
        return replace(self, S=S, rhs=rows(self.rhs, samples), lam=lam)

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
        return replace(self, S=TransposedJacobian(self.S, x), rhs=g)

    def tangent(self, x: Tensor, g: Tensor) -> ExplicitEquation:
        """Return ``(∂S/∂x) w = g`` at the point ``x``."""
        return replace(self, S=Linearised(self.S, x).forward, rhs=g)


def left_side(A: LinearOperator, data: Tensor, share: Tensor, H: Map) -> OfSamples:
    """Return ``S(x) = data · AᴴAx + share · (x − H(x))`` as a map of images.

    Parameters
    ----------
    A
        The forward operator.
    data, share
        Weights of every sample, ``(batch,)`` or ``(1,)``.
    H
        The network.
    """

    def apply(x: Tensor) -> Tensor:
        return per_sample(data, x) * A.normal(x) + per_sample(share, x) * (x - H(x))

    def part(samples: Tensor) -> OfSamples | None:
        few, network = A.for_samples(samples), part_of(H, samples)
        if few is None or network is None:
            return None
        return left_side(few, rows(data, samples), rows(share, samples), network)

    return OfSamples(apply, part)


class GradientStep(Step):
    """``x ← x − η(S(x) − rhs)``, computed without any error but rounding."""

    def __init__(self, equation: ExplicitEquation) -> None:
        self._equation = equation
        self.contraction = 1 - equation.length * equation.monotonicity

    def for_samples(self, samples: Tensor) -> GradientStep | None:
        """Return the step of some samples of the batch; None where S is not known so."""
        equation = self._equation.for_samples(samples)
        return None if equation is None else GradientStep(equation)

    def __call__(self, x: Tensor, *, last: bool = False) -> Iteration:
        """Return the next image for images ``(batch, *shape_in)``; ``last`` plays no role."""
        equation = self._equation
        difference = equation.length * (equation.rhs - equation.S(x))
        self.network_evaluations += 1
        self.normal_evaluations += 1
        image = x + difference
        size = norm(image)
        return Iteration(image, difference, torch.zeros_like(size), size)
