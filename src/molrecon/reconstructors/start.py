"""Where every learned reconstruction starts, and the unit it computes in."""

from __future__ import annotations

import torch
from torch import Tensor

from molrecon.errors import InputError
from molrecon.linear.closed_form import ClosedForm
from molrecon.linear.conjugate_gradient import ConjugateGradient
from molrecon.linear.regularised import solve_regularised
from molrecon.operators.base import LinearOperator, magnitude, per_sample

START_LAM = 100.0
START_SOLVER = ClosedForm(ConjugateGradient(rtol=1e-2, max_iterations=15))
GRADIENT_SOLVER = ClosedForm(ConjugateGradient(rtol=1e-3, max_iterations=200))
SCALE_QUANTILE = 0.999


def sense_start(y: Tensor, A: LinearOperator) -> Tensor:
    """Return a short SENSE reconstruction ``(batch, *shape_in)``: the start, and the scale.

    Its weight is relative to ``‖A‖²``: a fixed one would shrink the image, and the scale with it,
    by ``‖A‖²λ / (1 + ‖A‖²λ)`` for operators of small norm.

    Where ``y`` requires a gradient, it is that of the SENSE reconstruction solved to its end.
    """
    unit = magnitude(y.detach())
    lam = START_LAM / A.nominal_norm**2
    rhs = A.H(y / per_sample(unit, y))
    target = per_sample(lam, rhs) * rhs
    start = START_SOLVER(A, lam, target.detach()).value
    if torch.is_grad_enabled() and target.requires_grad:
        full = solve_regularised(
            A, lam, target, start, solver=GRADIENT_SOLVER, report=lambda direction, linear: None
        )
        start = full + (start - full.detach())
    return start * per_sample(unit, start)


def peak(image: Tensor) -> Tensor:
    """99.9th percentile of the magnitude of every sample, ``(batch,)``."""
    magnitude = image.abs().flatten(1)
    rank = max(1, round(SCALE_QUANTILE * magnitude.shape[1]))
    return magnitude.kthvalue(rank, dim=1).values


def estimated_sigma(y: Tensor, A: LinearOperator, scale: Tensor) -> Tensor:
    """Estimate the noise level, ``(batch,)``; for noise-free data a millionth of the scale.

    A weight's floor takes over long before that.
    """
    return torch.maximum(A.estimate_sigma(y), 1e-6 * scale)


def check_measurements(y: Tensor) -> None:
    """Refuse measurements with NaN or infinity, or of zeros alone.

    Raises
    ------
    InputError
        If there are such.
    """
    if not bool(torch.isfinite(y).all()):
        raise InputError("the measurements hold NaN or infinite values: check the raw data")
    if not bool((y.flatten(1) != 0).any(1).all()):
        raise InputError(
            "the measurements of a sample are all zero: there is nothing to reconstruct"
        )


def check_scale(scale: Tensor) -> None:
    """Refuse a scale, ``(batch,)``, that is not positive.

    Raises
    ------
    InputError
        If there is such.
    """
    if not bool(torch.all(torch.isfinite(scale) & (scale > 0))):
        raise InputError(
            f"the measurements give images of peak {scale.tolist()}, expected positive numbers: "
            "check that data and mask belong together"
        )


def as_sigma(sigma: Tensor | float, y: Tensor) -> Tensor:
    """Return the noise level of every sample, ``(batch,)``.

    Raises
    ------
    InputError
        If a value is not positive and finite, or their number does not fit.
    """
    values = torch.as_tensor(sigma, dtype=y.real.dtype, device=y.device)
    if values.shape not in ((), (1,), (y.shape[0],)):
        raise InputError(
            f"sigma has shape {tuple(values.shape)}, expected a number or ({y.shape[0]},)"
        )
    values = values.expand(y.shape[0])
    if not bool(torch.all(torch.isfinite(values) & (values > 0))):
        raise InputError(f"sigma is {sigma}, expected positive finite noise levels")
    return values
