"""The perturbation of given norm that does most to a reconstruction, by gradient ascent.

What it does is the distance that the image moves, or the error that the image then has: the largest
change need not add to the error that is there already, and the largest error makes use of it.

For a map that is nearly linear on the ball, ``x(y + δ) − x(y) ≈ Jδ``, and a step to the sphere
along the gradient, ``δ ← r · unit(JᵀJδ)``, is a power iteration, with the momentum of De Sa et al.
(Accelerated stochastic power iteration, AISTATS 2018) about six times as fast where the largest
singular values are close together. For a map that is not, a step that lowers the distance is taken
back and shortened, so that the largest harm found never falls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from molrecon.equilibrium.solution import Solution
from molrecon.evaluation.attack.target import Target
from molrecon.lipschitz.vectors import random_like, unit
from molrecon.operators.base import norm, per_sample

SPREAD = 0.9
"""Square of the second over the first eigenvalue of JᵀJ that the momentum is best for."""

MOMENTUM = SPREAD / 2 / (1 + (1 - SPREAD) ** 0.5)
"""``β / (λ₁ρ)`` with ``β = SPREAD·λ₁²/4`` and the growth ``ρ = λ₁(1 + √(1 − SPREAD))/2``."""

SETBACK = 0.98
"""Momentum may lower the harm by so much in between."""

ASCENT_TOL = 0.25
"""Tolerance of the solves on the way, relative to the relative size of the perturbation."""


@dataclass(frozen=True, eq=False)
class Perturbed:
    """A reconstruction of perturbed measurements, against that of the unperturbed ones."""

    delta: Tensor  # Δy as it is after rounding, ``(batch, *A.shape_out)``
    solution: Solution  # of y + Δy
    moved: Tensor  # ‖Δx‖, ``(batch,)``
    size: Tensor  # ‖Δy‖, ``(batch,)``
    # How far ``moved`` may be from that of the exact solutions: the sum of both error bounds,
    # ``(batch,)``; zero where a method has none.
    uncertainty: Tensor

    @property
    def gain(self) -> Tensor:
        """``‖Δx‖ / ‖Δy‖``, ``(batch,)``: to be compared with `Solution.robustness`."""
        return self.moved / self.size

    @property
    def gain_error(self) -> Tensor:
        """Uncertainty of the gain, ``(batch,)``."""
        return self.uncertainty / self.size

    def exceeds(self, bound: Tensor) -> Tensor:
        """Whether the exact solutions move by more than ``bound · ‖Δy‖``, bool ``(batch,)``."""
        return self.gain - self.gain_error > bound


@torch.no_grad()
def perturbed(target: Target, clean: Solution, delta: Tensor, *, tol: float) -> Perturbed:
    """Reconstruct perturbed measurements, leaving out what lies outside `Target.free`.

    ``clean`` is the reconstruction of the unperturbed ones, to the same tolerance.
    """
    y = target.y + torch.where(target.free, delta, torch.zeros_like(delta))
    solution = target.reconstruct(y, tol=tol, x0=clean.value)
    made = y - target.y
    return Perturbed(
        delta=made,
        solution=solution,
        moved=norm(solution.value - clean.value),
        size=norm(made),
        uncertainty=_error(solution) + _error(clean),
    )


def _error(solution: Solution) -> Tensor:
    size = norm(solution.value)
    return torch.zeros_like(size) if solution.error_bound is None else solution.error_bound * size


def signal(target: Target) -> Tensor:
    """Norm of the sampled measurements, ``(batch,)``: perturbations are relative to it."""
    return norm(torch.where(target.free, target.y, torch.zeros_like(target.y)))


def gaussian(target: Target, epsilon: float, seed: int) -> Tensor:
    """Draw a white Gaussian perturbation of the sampled measurements of norm ``epsilon·‖y‖``."""
    draw = random_like(target.y, seed)
    draw = unit(torch.where(target.free, draw, torch.zeros_like(draw)))
    return per_sample(epsilon * signal(target), draw) * draw


def worst_case(
    target: Target,
    clean: Solution,
    epsilon: float,
    *,
    starts: Sequence[Tensor] = (),
    restarts: int = 2,
    steps: int = 15,
    seed: int = 0,
    reference: Tensor | None = None,
    report: Callable[[float], None] = lambda gain: None,
) -> Tensor:
    """Return the perturbation found, of norm ``epsilon·‖y‖``, that does most to the image.

    It is projected gradient ascent on `harm`, ``‖x(y + δ) − x(y)‖`` or, with a reference, the error
    of the image, through the implicit gradient of an equilibrium or through the iterations of an
    unrolled method, from ``starts`` of any norm and as many random ones as ``restarts``, with so
    many steps each. What it finds is a lower bound of the worst case, zero where nothing was
    sampled. ``report`` is called after every step with the largest harm so far (of the first
    sample), relative to the norm of the perturbation.
    """
    ascent = _Ascent(target, clean, epsilon, reference, report)
    for start in (*starts, *(gaussian(target, epsilon, seed + k) for k in range(restarts))):
        ascent.run(start, steps)
    return per_sample(ascent.radius, ascent.best) * ascent.best


def harm(x: Tensor, clean: Tensor, reference: Tensor | None) -> Tensor:
    """Return how far images are from where they should be, ``(batch,)``.

    Without a reference that is where they were; with one it is the error of magnitudes that PSNR
    measures.
    """
    return norm(x - clean) if reference is None else norm(x.abs() - reference.abs())


class _Ascent:
    """Directions u on the unit sphere, ``δ = r u``, and the best one of all starts."""

    def __init__(
        self,
        target: Target,
        clean: Solution,
        epsilon: float,
        reference: Tensor | None,
        report: Callable[[float], None],
    ) -> None:
        self.target, self.epsilon, self.report = target, epsilon, report
        self.reference = reference
        self.clean = clean.value.detach()
        self.radius = epsilon * signal(target)
        self.best = torch.zeros_like(target.y)
        self.best_value = torch.full_like(self.radius, -1.0)

    def run(self, start: Tensor, steps: int) -> None:
        u = self._on_sphere(start)
        value, gradient, image = self._value(u, self.clean)
        # Where this start has led so far, and the gradient there.
        top, top_value, top_gradient = u, value, gradient
        self._keep(top, top_value)
        before = torch.zeros_like(u)
        share = torch.ones_like(value)
        for _ in range(steps):
            weight = per_sample(share, u)
            power = gradient - MOMENTUM * before
            proposal = self._on_sphere((1 - weight) * u + weight * power)
            found, slope, image = self._value(proposal, image)
            good = found >= SETBACK * top_value
            better = found > top_value
            top = torch.where(per_sample(better, u), proposal, top)
            top_gradient = torch.where(per_sample(better, u), slope, top_gradient)
            top_value = torch.maximum(top_value, found)
            keep = per_sample(good, u)
            before = torch.where(keep, u, torch.zeros_like(u))
            u = torch.where(keep, proposal, top)
            gradient = torch.where(keep, slope, top_gradient)
            share = torch.where(good, (2 * share).clamp_max(1.0), share / 2)
            self._keep(top, top_value)
            self.report(float(self.best_value[0] / self.radius[0]))

    def _keep(self, u: Tensor, value: Tensor) -> None:
        better = value > self.best_value
        self.best = torch.where(per_sample(better, u), u, self.best)
        self.best_value = torch.maximum(self.best_value, value)

    def _on_sphere(self, direction: Tensor) -> Tensor:
        return unit(torch.where(self.target.free, direction, torch.zeros_like(direction)))

    def _value(self, u: Tensor, x0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Harm, its unit gradient, and image at ``r u``; −1 where the solve failed."""
        delta = (per_sample(self.radius, u) * u).requires_grad_()
        with torch.enable_grad():
            solution = self.target.reconstruct(
                self.target.y + delta, tol=ASCENT_TOL * self.epsilon, x0=x0
            )
            done = harm(solution.value, self.clean, self.reference)
            (gradient,) = torch.autograd.grad(done.sum(), delta)
        usable = solution.solved & torch.isfinite(done)
        value = torch.where(usable, done.detach(), torch.full_like(done, -1.0))
        image = torch.where(
            per_sample(usable, x0), solution.value.detach(), torch.zeros_like(x0) + self.clean
        )
        return value, self._on_sphere(torch.nan_to_num(gradient)), image
