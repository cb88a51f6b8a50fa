"""Where every learned reconstruction starts, and the unit it computes in."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from molrecon.arguments import require_positive
from molrecon.errors import InputError
from molrecon.linear.regularised import solve_regularised
from molrecon.linear.solver import LinearSolver
from molrecon.operators.base import LinearOperator, inner, magnitude, per_sample
from molrecon.operators.checks import check_measurements

START_LAM = 100.0
START_RTOL = 1e-2
START_ITERATIONS = 15
START_SOLVER = LinearSolver(rtol=START_RTOL, max_iterations=START_ITERATIONS)
SCALE_QUANTILE = 0.999
NOISE_OVER_SIGNAL = 10.0
"""Largest noise level relative to the largest measurement: no noise is less than a tenth of its
standard deviation in all samples."""


def sense_start(y: Tensor, A: LinearOperator) -> tuple[Tensor, Tensor]:
    """Return a short SENSE reconstruction and its peak, the scale, of every sample.

    They are ``(batch, *A.shape_in)`` and ``(batch,)``, with a gradient where the measurements
    require one. The weight is relative to ``‖A‖²``: a fixed one would shrink the image, and the
    scale with it, by ``‖A‖²λ / (1 + ‖A‖²λ)`` for operators of small norm. The scale is a continuous
    function of ``y``, which the start is not: it jumps where one more iteration is made. Equilibria
    depend on the scale alone.
    """
    unit = magnitude(y.detach())
    lam = START_LAM / A.nominal_norm**2
    back = A.H(y / per_sample(unit, y))
    rhs = per_sample(lam, back) * back
    if A.resolvent(lam.expand(rhs.shape[0]), rhs.detach()) is not None:
        start = solve_regularised(A, lam, rhs, solver=START_SOLVER, report=lambda *what: None)
        scale = peak(start)
    else:
        start, steady = _short_solve(A, lam, rhs)
        scale = peak(steady)
    return start * per_sample(unit, start), scale * unit


def _short_solve(A: LinearOperator, c: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
    """Solve ``(I + c AᴴA) x = r`` roughly by conjugate gradients, every iteration recorded.

    They end long before the solution. The gradient of the solution, which one more solve would
    give, is not that of what they reach: of the scale it would be wrong by percents.

    The second result lies between the last two iterates, where a residual that falls linearly
    would meet the tolerance. It is the first one at the moment at which one more iteration is
    made, and the one before then: the count jumps, and this does not.
    """
    x, steady, residual, direction = torch.zeros_like(r), torch.zeros_like(r), r, r
    square = inner(r, r)
    one, zero = torch.ones_like(square), torch.zeros_like(square)
    active = square > 0
    size = torch.where(active, square, one).sqrt()
    threshold = START_RTOL * size
    for _ in range(START_ITERATIONS):
        if not bool(active.any()):
            break
        product = direction + per_sample(c, direction) * A.normal(direction)
        # Ones in place of what has stopped: a zero there would make its gradient NaN.
        step = torch.where(
            active, square / torch.where(active, inner(direction, product), one), zero
        )
        residual = residual - per_sample(step, x) * product
        before, last = torch.where(active, square, one), size
        square = inner(residual, residual)
        size = torch.where(square > 0, torch.where(square > 0, square, one).sqrt(), zero)
        stops = active & (size <= threshold)
        part = torch.where(stops, last - threshold, one) / torch.where(stops, last - size, one)
        between = x + per_sample(part * step, x) * direction
        steady = torch.where(per_sample(active, x), between, steady)
        x = x + per_sample(step, x) * direction
        direction = residual + per_sample(torch.where(active, square / before, zero), x) * direction
        active = active & ~stops
    return x, steady


def peak(image: Tensor) -> Tensor:
    """Return the 99.9th percentile of the magnitude of every sample, ``(batch,)``."""
    magnitude = image.abs().flatten(1)
    rank = max(1, round(SCALE_QUANTILE * magnitude.shape[1]))
    return magnitude.kthvalue(rank, dim=1).values


def estimated_sigma(y: Tensor, A: LinearOperator, scale: Tensor) -> Tensor:
    """Estimate the noise level, ``(batch,)``; for noise-free data a millionth of the scale.

    A weight's floor takes over long before that.
    """
    return torch.maximum(A.estimate_sigma(y), 1e-6 * scale)


def check_call(
    y: Tensor,
    A: LinearOperator,
    sigma: Tensor | float | None,
    tol: float | None = None,
    model: nn.Module | None = None,
) -> None:
    """Refuse arguments that no method can be called with, whether it looks at them or not.

    See `Reconstructor.__call__`; ``model`` is as in `check_measurements`.
    """
    check_measurements(y, A, model)
    if sigma is not None:
        as_sigma(sigma, y)
    require_positive("tol", tol, most=1)


def check_signal(
    y: Tensor,
    A: LinearOperator,
    sigma: Tensor | float | None,
    tol: float | None = None,
    model: nn.Module | None = None,
) -> None:
    """Refuse measurements of zeros alone, and what `check_call` refuses."""
    check_call(y, A, sigma, tol, model)
    if not bool((y.flatten(1) != 0).any(1).all()):
        raise InputError(
            "the measurements of a sample are all zero: there is nothing to reconstruct"
        )


def check_scale(scale: Tensor) -> None:
    """Refuse a scale, ``(batch,)``, that is not positive."""
    if not bool(torch.all(torch.isfinite(scale) & (scale > 0))):
        raise InputError(
            f"the measurements give images of peak {scale.tolist()}, expected positive numbers: "
            "check that data and mask belong together, and that check_operator(A) has no objection"
        )


def require_plausible(sigma: float | None, y: Tensor) -> None:
    """Refuse a noise level that is far above all of the measurements, which contain that noise.

    Parameters
    ----------
    sigma
        Standard deviation per sample in the unit of ``y``; None passes.
    y
        Measurements of any shape; nothing is known from zeros alone.
    """
    if sigma is None:
        return
    # No copy of the magnitudes of a volume: the largest part will do.
    parts = torch.view_as_real(y.resolve_conj()) if y.is_complex() else y
    largest = float(torch.linalg.vector_norm(parts, ord=torch.inf))
    if largest > 0 and sigma > NOISE_OVER_SIGNAL * largest:
        raise InputError(
            f"sigma is {sigma:g}, expected at most {NOISE_OVER_SIGNAL * largest:.2g}, "
            f"{NOISE_OVER_SIGNAL:g} times the largest of the measurements, which contain that "
            "noise; give it in their unit, or leave it out to have it estimated."
        )


def as_sigma(sigma: Tensor | float, y: Tensor) -> Tensor:
    """Return the noise level of every sample, ``(batch,)``, positive and finite."""
    try:
        values = torch.as_tensor(sigma, dtype=y.real.dtype, device=y.device)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(
            f"sigma is {sigma!r}, expected a number or ({y.shape[0]},) of them"
        ) from None
    if values.shape not in ((), (1,), (y.shape[0],)):
        raise InputError(
            f"sigma has shape {tuple(values.shape)}, expected a number or ({y.shape[0]},)"
        )
    values = values.expand(y.shape[0])
    if not bool(torch.all(torch.isfinite(values) & (values > 0))):
        raise InputError(f"sigma is {sigma}, expected positive finite noise levels")
    return values
