"""Tikhonov regularisation, its weight from the noise."""

from __future__ import annotations

import time
from dataclasses import replace

import torch
from torch import Tensor

from molrecon.equilibrium.solution import Solution
from molrecon.errors import InputError
from molrecon.linear.closed_form import ClosedForm
from molrecon.linear.conjugate_gradient import ConjugateGradient
from molrecon.linear.solver import LinearSolver
from molrecon.operators.base import LinearOperator, norm, per_sample
from molrecon.reconstructors.sense import regularised_least_squares
from molrecon.reconstructors.start import as_sigma, check_measurements

RANGE = (1e-2, 1e5)
"""Weights that are considered, in units of 1 / nominal_norm²."""

HALVINGS = 16


class Tikhonov:
    """``min_x λ‖Ax − y‖² + ‖x‖²``, λ by the discrepancy principle.

    The equation is that of `SENSE`, whose λ is a constant; here, unless it is given, λ is chosen
    so that the residual is what noise of the given level leaves, ``‖Ax − y‖² = N σ²`` with N
    measured samples (Morozov 1966), within `RANGE`. It therefore suits operators of any norm and
    scans of any noise.

    Parameters
    ----------
    lam
        Weight λ > 0 of the data term, in units of 1 / `LinearOperator.nominal_norm`².
    solver
        The linear solver; by default the operator's closed form or else conjugate gradients.

    Raises
    ------
    InputError
        If ``lam`` is not positive.
    """

    def __init__(self, lam: float | None = None, solver: LinearSolver | None = None) -> None:
        if lam is not None and not lam > 0:
            raise InputError(f"lam is {lam}, expected a positive weight")
        self.lam = lam
        self.solver = solver or ClosedForm(ConjugateGradient(rtol=1e-5))

    @torch.no_grad()
    def __call__(
        self, y: Tensor, A: LinearOperator, *, sigma: Tensor | float | None = None
    ) -> Solution:
        """Reconstruct measurements ``(batch, *A.shape_out)``.

        Parameters
        ----------
        y, A
            Measurements and forward operator.
        sigma
            Noise level per sample in the unit of ``y``, a number or ``(batch,)``; estimated from
            the data if not given. Not used if ``lam`` was given.

        Raises
        ------
        InputError
            If y holds NaN or is zero throughout, or sigma is out of range.
        """
        started = time.perf_counter()
        check_measurements(y)
        noise = None
        unit = 1 / A.nominal_norm.to(y.real.dtype) ** 2
        if self.lam is None:
            noise = as_sigma(A.estimate_sigma(y) if sigma is None else sigma, y)
            lam = unit * self._by_discrepancy(y, A, noise, unit)
        else:
            lam = (unit * self.lam).expand(y.shape[0])
        solution = regularised_least_squares(y, A, lam, self.solver)
        return replace(solution, sigma=noise, seconds=time.perf_counter() - started)

    def _by_discrepancy(self, y: Tensor, A: LinearOperator, sigma: Tensor, unit: Tensor) -> Tensor:
        """Halve the range of log λ: the residual falls as λ grows."""
        samples = (y != 0).flatten(1).sum(1)
        # Through the root: squares of data in small units would vanish.
        wanted = sigma * samples.sqrt()
        low, high = (torch.full_like(sigma, value).log() for value in RANGE)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            x = regularised_least_squares(y, A, unit * middle.exp(), self.solver).value
            too_large = norm_of_residual(A, x, y) > wanted
            low, high = torch.where(too_large, middle, low), torch.where(too_large, high, middle)
        return ((low + high) / 2).exp()


def norm_of_residual(A: LinearOperator, x: Tensor, y: Tensor) -> Tensor:
    """``‖Ax − y‖`` of every sample, ``(batch,)``, without overflow."""
    largest = y.abs().flatten(1).amax(1)
    return largest * norm((A(x) - y) / per_sample(largest, y))
