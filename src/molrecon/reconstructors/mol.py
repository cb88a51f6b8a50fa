"""Monotone operator learning."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from molrecon.equilibrium.forward_backward import ForwardBackward
from molrecon.equilibrium.implicit import Equilibrium
from molrecon.equilibrium.inclusion import Inclusion
from molrecon.equilibrium.solution import Solution
from molrecon.errors import InputError
from molrecon.linear.closed_form import ClosedForm
from molrecon.linear.conjugate_gradient import ConjugateGradient
from molrecon.networks.base import Network
from molrecon.operators.base import LinearOperator, magnitude, norm, per_sample
from molrecon.reconstructors.weights import DataWeight

Output = Literal["fixed-point", "full-scan"]

START_LAM = 100.0
START_SOLVER = ClosedForm(ConjugateGradient(rtol=1e-2, max_iterations=15))
SCALE_QUANTILE = 0.999


class MOL(nn.Module):
    """Monotone operator learning: ``x* − H(x*) + λAᴴ(Ax* − y) = 0``.

    (Pramanik, Zimmerman, Jacob, IEEE TCI 2023.) With ``Lip(H) ≤ 1 − m`` the solution exists, is
    unique, is found from any start and moves by at most ``½√(λ/m)‖Δy‖`` when the measurements
    move by Δy. MOL-SN has a network that satisfies the bound by construction, MOL-LR one that was
    trained towards it; `Solution.certified` tells them apart.

    Measurements may have any unit: they are divided by the peak of a short SENSE reconstruction
    (its 99.9th percentile), and the image is multiplied by it again. The guarantees hold with
    that scale held fixed.

    Where no coil sees anything (`LinearOperator.support`) the image is zero: with P the projection
    on the rest, H is replaced by PHP, which has the same Lipschitz bound. Left alone, x = H(x)
    would hold there, a free invention of the network that also slows the solver down.

    Parameters
    ----------
    network
        H.
    weight
        λ as a function of the noise.
    monotonicity
        m in (0, 1): the network was trained or built for ``Lip(H) ≤ 1 − m``.
    equilibrium
        The solvers.
    shift
        Hidden multiple of x in the published score, see `Inclusion`.
    output
        ``"fixed-point"``: the image is x*. ``"full-scan"``: it is what a full scan would have
        shown, ``x* + Aᴴ(y − A x*)``, which keeps the measured samples with their noise
        (`CartesianMRI.completed`); its error bound follows from that of x*, since ``I − AᴴA`` is
        nonexpansive.
    """

    def __init__(
        self,
        network: Network,
        weight: DataWeight | None = None,
        *,
        monotonicity: float = 0.02,
        equilibrium: Equilibrium | None = None,
        shift: float = 0.0,
        output: Output = "fixed-point",
    ) -> None:
        super().__init__()
        if output not in get_args(Output):
            raise InputError(f"output is {output!r}, expected one of {', '.join(get_args(Output))}")
        if not 0 < monotonicity < 1:
            raise InputError(f"monotonicity is {monotonicity}, expected m in (0, 1)")
        self.network = network
        self.weight = weight or DataWeight()
        self.monotonicity = monotonicity
        self.equilibrium = equilibrium or Equilibrium()
        self.shift = shift
        self.output = output

    @property
    def certified(self) -> bool:
        """Whether the network is proved to satisfy ``Lip(H) ≤ 1 − m``."""
        bound = self.network.lipschitz_bound()
        return bound is not None and bound <= 1 - self.monotonicity

    def forward(
        self,
        y: Tensor,
        A: LinearOperator,
        *,
        sigma: Tensor | float | None = None,
        x0: Tensor | None = None,
        tol: float | None = None,
        equilibrium: Equilibrium | None = None,
        on_backward: Callable[[Solution], None] | None = None,
        output: Output | None = None,
    ) -> Solution:
        """Reconstruct.

        Parameters
        ----------
        y
            Measurements ``(batch, *A.shape_out)``, any unit.
        A
            The forward operator, of a norm about its `LinearOperator.nominal_norm`.
        sigma
            Standard deviation of the noise per complex sample, in the unit of ``y``; a number or
            ``(batch,)``. Estimated from the data if not given (`LinearOperator.estimate_sigma`).
        x0
            Starting image in the unit of ``y``; by default a short SENSE reconstruction.
        tol
            Tolerance of the forward solve in place of the solver's own.
        equilibrium
            Solvers in place of the model's own.
        on_backward
            Receives the adjoint solution in the backward pass.
        output
            In place of the model's own.

        Returns
        -------
        Solution
            With the image in the unit of ``y``.

        Raises
        ------
        InputError
            If σ is not positive and finite, y holds NaN or is zero wherever it was sampled, or
            shapes do not fit.
        ConvergenceError
            If the solve does not converge and the equilibrium is set to raise.
        """
        started = time.perf_counter()
        _check_measurements(y)
        with torch.no_grad():
            start = sense_start(y, A)
            scale = peak(start)
            _check_scale(scale)
            if sigma is None:  # noise-free data: the weight's floor takes over
                sigma = torch.maximum(A.estimate_sigma(y), 1e-6 * scale)
        noise = _as_sigma(sigma, y)
        relative_noise = noise / scale
        lam = self.weight(relative_noise)
        rhs = per_sample(lam / scale, y) * A.H(y)
        inclusion = Inclusion(
            H=lambda x: self._confined(x, relative_noise, A.support),
            A=A,
            lam=lam,
            rhs=rhs,
            monotonicity=self.monotonicity,
            shift=self.shift,
        )
        if x0 is not None:
            start = x0 if A.support is None else x0 * A.support
        equilibrium = equilibrium or self.equilibrium
        if tol is not None:
            equilibrium = replace(equilibrium, forward=replace(equilibrium.forward, tol=tol))
        wanted = any(p.requires_grad for p in self.parameters()) or rhs.requires_grad
        with torch.set_grad_enabled(torch.is_grad_enabled() and wanted):
            solution = equilibrium(
                inclusion,
                start / per_sample(scale, start),
                certified=self.certified,
                on_backward=on_backward,
            )
        if (output or self.output) == "full-scan":
            solution = _completed(solution, A, y / per_sample(scale, y))
        return replace(
            solution,
            value=solution.value * per_sample(scale, start),
            lam=lam.detach(),
            sigma=noise.detach(),
            seconds=time.perf_counter() - started,
        )

    def _confined(self, x: Tensor, sigma: Tensor, support: Tensor | None) -> Tensor:
        """Apply PHP, with P the projection on the support."""
        h: Tensor = self.network(x if support is None else x * support, sigma)
        return h if support is None else h * support


def _completed(solution: Solution, A: LinearOperator, y: Tensor) -> Solution:
    x = solution.value
    value = A.completed(x, y)
    size, before = norm(value.detach()), norm(x.detach())
    ratio = before / size.clamp_min(torch.finfo(size.dtype).tiny)
    bound = solution.error_bound * A.completion_gain.to(ratio.dtype) * ratio
    return replace(solution, value=value, error_bound=bound)


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
        inner=ConjugateGradient(rtol=0.0, relative_to="start", max_iterations=5),
    )
    return Equilibrium(forward=solver, backward=solver)


def sense_start(y: Tensor, A: LinearOperator) -> Tensor:
    """Return a short SENSE reconstruction ``(batch, *shape_in)``: the start, and the scale.

    Its weight is relative to ``‖A‖²``: a fixed one would shrink the image, and the scale with it,
    by ``‖A‖²λ / (1 + ‖A‖²λ)`` for operators of small norm.
    """
    unit = magnitude(y)
    lam = START_LAM / A.nominal_norm**2
    rhs = A.H(y / per_sample(unit, y))
    start = START_SOLVER(A, lam, per_sample(lam, rhs) * rhs).value
    return start * per_sample(unit, start)


def peak(image: Tensor) -> Tensor:
    """99.9th percentile of the magnitude of every sample, ``(batch,)``."""
    magnitude = image.abs().flatten(1)
    rank = max(1, round(SCALE_QUANTILE * magnitude.shape[1]))
    return magnitude.kthvalue(rank, dim=1).values


def _check_measurements(y: Tensor) -> None:
    if not bool(torch.isfinite(y).all()):
        raise InputError("the measurements hold NaN or infinite values: check the raw data")
    if not bool((y.flatten(1) != 0).any(1).all()):
        raise InputError(
            "the measurements of a sample are all zero: there is nothing to reconstruct"
        )


def _check_scale(scale: Tensor) -> None:
    if not bool(torch.all(torch.isfinite(scale) & (scale > 0))):
        raise InputError(
            f"the measurements give images of peak {scale.tolist()}, expected positive numbers: "
            "check that data and mask belong together"
        )


def _as_sigma(sigma: Tensor | float, y: Tensor) -> Tensor:
    values = torch.as_tensor(sigma, dtype=y.real.dtype, device=y.device)
    if values.shape not in ((), (1,), (y.shape[0],)):
        raise InputError(
            f"sigma has shape {tuple(values.shape)}, expected a number or ({y.shape[0]},)"
        )
    values = values.expand(y.shape[0])
    if not bool(torch.all(torch.isfinite(values) & (values > 0))):
        raise InputError(f"sigma is {sigma}, expected positive finite noise levels")
    return values
