"""Reconstructions of one scan as functions of its measurements alone.

Unit, noise level σ, data weight λ, coil maps and mask stay what they are for the unperturbed
measurements: under this condition the robustness of `molrecon.equilibrium.robustness` is proved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from molrecon.data.axes import Axes
from molrecon.equilibrium.forward_backward import ForwardBackward
from molrecon.equilibrium.implicit import Equilibrium
from molrecon.equilibrium.solution import Solution
from molrecon.errors import InputError
from molrecon.linear.closed_form import ClosedForm
from molrecon.linear.conjugate_gradient import ConjugateGradient
from molrecon.linear.regularised import solve_regularised
from molrecon.operators.base import LinearOperator, magnitude, per_sample
from molrecon.reconstructors.configuration import LEARNED
from molrecon.reconstructors.learned import LearnedReconstructor
from molrecon.reconstructors.methods import METHODS, Method, build_method
from molrecon.reconstructors.sense import PUBLISHED_LAM, regularised_least_squares
from molrecon.reconstructors.start import estimated_sigma, peak, sense_start
from molrecon.reconstructors.store import load, read_header, resolve
from molrecon.reconstructors.zero_filled import ZeroFilled

ADJOINT_TOL = 0.1
"""Of the adjoint solves: the direction of steepest ascent need not be known better."""

MOST_ITERATIONS = 60
"""Where rounding keeps a solve from its tolerance, it ends here with the error bound it has."""

Solve = Callable[[Tensor, Tensor | None, float], Solution]


@dataclass(frozen=True, eq=False)
class Held:
    """A reconstruction of which only the measurements are still free.

    Attributes
    ----------
    name
        Of the method or model.
    y
        The unperturbed measurements, ``(batch, *A.shape_out)``.
    A
        The operator.
    solve
        Takes measurements, a starting image (None for the method's own; methods whose answer
        depends on it ignore it) and a tolerance on the relative distance to the exact solution. A
        solve that fails is a status; nothing is raised. The value carries gradients where the
        measurements require them.
    differentiable
        Whether it does: if not, no worst case can be sought.
    """

    name: str
    y: Tensor
    A: LinearOperator
    solve: Solve
    differentiable: bool = True

    @property
    def free(self) -> Tensor:
        """Measurements that may be perturbed, bool, broadcastable to ``y``: the sampled ones."""
        mask: Tensor | None = getattr(self.A, "mask", None)
        if mask is None:
            return torch.ones_like(self.y, dtype=torch.bool)
        return mask != 0


def hold_model(
    name: str,
    model: LearnedReconstructor,
    y: Tensor,
    A: LinearOperator,
    sigma: Tensor | float | None = None,
) -> Held:
    """Hold everything but the measurements of a learned reconstruction fixed.

    Parameters
    ----------
    name
        What it is called.
    model
        The model; its weights need not require gradients.
    y, A
        Measurements ``(batch, *A.shape_out)`` and operator.
    sigma
        Noise level, in the unit of ``y``, a number or ``(batch,)``; estimated from the unperturbed
        measurements if None.

    Raises
    ------
    InputError
        If the measurements do not fit the operator or the model.
    """
    with torch.no_grad():
        scale = peak(sense_start(y, A))
        level = estimated_sigma(y, A, scale) if sigma is None else sigma

    def solve(z: Tensor, x0: Tensor | None, tol: float) -> Solution:
        solution: Solution = model(
            z,
            A,
            sigma=level,
            scale=scale,
            # Equilibria do not depend on the start, other methods begin at their own.
            x0=None if model.equilibrium is None else x0,
            equilibrium=None if model.equilibrium is None else _solvers(model.equilibrium, tol),
            raise_on_failure=False,
        )
        return solution

    return Held(name, y, A, solve)


def _solvers(own: Equilibrium, tol: float) -> Equilibrium:
    """Solve to ``tol`` where it would be one on the distance, else as the model does."""

    def changed(solver: ForwardBackward, wanted: float) -> ForwardBackward:
        if solver.stopping != "bound":
            return solver
        most = min(solver.max_iterations, MOST_ITERATIONS)
        return replace(solver, tol=wanted, max_iterations=most)

    return replace(
        own, forward=changed(own.forward, tol), backward=changed(own.backward, ADJOINT_TOL)
    )


def hold_least_squares(name: str, lam: Tensor, y: Tensor, A: LinearOperator) -> Held:
    """Hold the weight of ``min_x λ‖Ax − y‖² + ‖x‖²`` fixed.

    Parameters
    ----------
    name
        What it is called.
    lam
        λ, ``(batch,)``.
    y, A
        Measurements and operator.
    """
    largest = float((lam * A.nominal_norm.to(lam.dtype) ** 2).max())
    unit = magnitude(y)

    def solve(z: Tensor, x0: Tensor | None, tol: float) -> Solution:
        # As in `METHODS`: this residual leaves an error of at most tol · ‖x‖.
        solver = ClosedForm(ConjugateGradient(rtol=min(tol, 0.5) / (1 + largest)))
        solution = regularised_least_squares(z, A, lam, solver)
        if not (torch.is_grad_enabled() and z.requires_grad):
            return solution
        back = A.H(z / per_sample(unit, z))
        value = solve_regularised(
            A,
            lam,
            per_sample(lam, back) * back,
            solution.value / per_sample(unit, back),
            solver=ClosedForm(ConjugateGradient(rtol=ADJOINT_TOL / (1 + largest))),
            report=lambda direction, linear: None,
        )
        value = solution.value + per_sample(unit, back) * (value - value.detach())
        return replace(solution, value=value)

    return Held(name, y, A, solve)


def _hold_sense(y: Tensor, A: LinearOperator, sigma: float | None) -> Held:
    lam = torch.full((y.shape[0],), PUBLISHED_LAM, dtype=y.real.dtype, device=y.device)
    return hold_least_squares("sense", lam, y, A)


def _hold_tikhonov(y: Tensor, A: LinearOperator, sigma: float | None) -> Held:
    chosen = build_method("tikhonov").solve(y, A, sigma, 1e-3)
    assert chosen.lam is not None
    return hold_least_squares("tikhonov", chosen.lam, y, A)


def _hold_zero_filled(y: Tensor, A: LinearOperator, sigma: float | None) -> Held:
    def solve(z: Tensor, x0: Tensor | None, tol: float) -> Solution:
        return replace(ZeroFilled()(z.detach(), A), value=A.H(z))

    return Held("zero-filled", y, A, solve)


def _hold_fixed(method: Method, y: Tensor, A: LinearOperator, sigma: float | None) -> Held:
    # Their weight is in proportion to σ, so it is fixed when σ is.
    level = float(A.estimate_sigma(y)) if sigma is None else sigma
    return Held(
        method.name, y, A, lambda z, x0, tol: method.solve(z, A, level, tol), differentiable=False
    )


_DIFFERENTIABLE: dict[str, Callable[[Tensor, LinearOperator, float | None], Held]] = {
    "sense": _hold_sense,
    "tikhonov": _hold_tikhonov,
    "zero-filled": _hold_zero_filled,
}


@dataclass(frozen=True)
class Subject:
    """A method or model as the user named it, ready for any scan.

    Attributes
    ----------
    name
        The shipped model's or the method's own; of a weights file its stem, or its folder's name
        for the ``best.safetensors`` of a training run.
    method
        The method it is.
    model
        The model as the user named it; None where there is none.
    axes
        Spatial axes it is made for; None for any.
    hold
        Takes measurements, operator and sigma (None: estimated).
    """

    name: str
    method: str
    axes: Axes | None
    hold: Callable[[Tensor, LinearOperator, float | None], Held]
    model: str | None = None


def find_subject(name: str, *, device: str = "cpu") -> Subject:
    """Find a shipped model, a weights file or a method without a model.

    Raises
    ------
    InputError
        If it is none of them, or a method that needs a model.
    """
    if name in LEARNED:
        raise InputError(
            f"{name!r} is a method that needs a model, but a model was expected: name a shipped "
            "model or a weights file trained for it."
        )
    if name in _DIFFERENTIABLE:
        return Subject(name, name, None, _DIFFERENTIABLE[name])
    if name in METHODS:
        method = build_method(name, device=device)
        return Subject(name, name, None, lambda y, A, sigma: _hold_fixed(method, y, A, sigma))
    path = resolve(name)
    model = load(path, device=device)
    label = path.absolute().parent.name if path.stem == "best" else path.stem
    config = read_header(path)[0]
    return Subject(
        label,
        config.method,
        Axes(config.spatial_axes),
        lambda y, A, sigma: hold_model(label, model, y, A, sigma),
        name,
    )
