"""Tikhonov regularisation, its weight from the noise."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from molrecon.equilibrium.solution import Solution
from molrecon.linear.solver import LinearSolver
from molrecon.operators.base import LinearOperator, magnitude, norm, per_sample
from molrecon.reconstructors.base import Reconstructor
from molrecon.reconstructors.least_squares import KSPACE_COPIES, regularised_least_squares
from molrecon.reconstructors.sense import require_weight
from molrecon.reconstructors.start import as_sigma, check_call, check_signal

RANGE = (1e-2, 1e4)
"""Weights that are considered, in units of 1 / nominal_norm²; the largest is that of SENSE. Where
errors of the coil maps leave more than noise does, larger ones change little, and solves fail."""

HALVINGS = 16
SEARCH_RTOL = 1e-5
"""Residual of the linear solves of the search for λ, relative to the right-hand side."""


class Tikhonov(Reconstructor):
    """``min_x λ‖Ax − y‖² + ‖x‖²``, λ by the discrepancy principle.

    The equation is that of `SENSE`, whose λ is a constant; here, unless it is given, λ is chosen
    so that the residual is what noise of the given level leaves, ``‖Ax − y‖² = N σ²`` with N
    measured samples (Morozov 1966), within `RANGE`. It therefore suits operators of any norm and
    scans of any noise. Gradients hold for λ too: they are those of the equation it solves.

    Parameters
    ----------
    lam
        Weight λ > 0 of the data term, in units of 1 / `LinearOperator.nominal_norm`²; by default
        chosen for every sample by the discrepancy principle.
    max_iterations
        Cap on the iterations of a linear solve, for operators without a closed form.

    Raises
    ------
    InputError
        If an argument is not positive.

    Examples
    --------
    >>> import torch
    >>> from molrecon import Denoising, Tikhonov
    >>> y = torch.ones(1, 1, 4, 4)
    >>> solution = Tikhonov()(y, Denoising((1, 4, 4)), sigma=0.1)
    >>> round(solution.value.mean().item(), 2), round(solution.lam.item())
    (0.9, 9)
    """

    name = "tikhonov"
    linear = True
    tunable = True

    def __init__(self, lam: float | None = None, *, max_iterations: int = 500) -> None:
        if lam is not None:
            require_weight(lam)
        self.lam, self.max_iterations = lam, max_iterations

    @property
    def kspace_copies(self) -> int:
        """Those of the bound in double precision."""
        return KSPACE_COPIES

    def __call__(
        self,
        y: Tensor,
        A: LinearOperator,
        *,
        sigma: Tensor | float | None = None,
        tol: float | None = None,
        raise_on_failure: bool = True,
        weight: Tensor | None = None,
    ) -> Solution:
        """Reconstruct, see `Reconstructor`; ``tol`` is 1e-3 by default, σ is used if λ is chosen.

        Parameters
        ----------
        weight
            λ of every sample at strength 1, ``(batch,)``, in place of the chosen one.
        """
        started = time.perf_counter()
        check_call(y, A, sigma, tol)
        noise = None
        if weight is None:
            check_signal(y, A, sigma)
            weight, noise = self._choose(y, A, sigma)
        solution = regularised_least_squares(
            y,
            A,
            weight / self.strength**2,
            tol=tol,
            max_iterations=self.max_iterations,
            raise_on_failure=raise_on_failure,
        )
        return replace(solution, sigma=noise, seconds=time.perf_counter() - started)

    @property
    def needs_sigma(self) -> bool:
        """Whether λ is chosen by it."""
        return self.lam is None

    def settled(self, y: Tensor, A: LinearOperator, sigma: Tensor | float | None) -> dict[str, Any]:
        """Return λ at strength 1 as chosen for ``y``."""
        check_signal(y, A, sigma)
        with torch.no_grad():
            return {"weight": self._choose(y, A, sigma)[0]}

    def _choose(
        self, y: Tensor, A: LinearOperator, sigma: Tensor | float | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return λ at strength 1 and, where it rests on one, the noise level, ``(batch,)``."""
        unit = 1 / A.nominal_norm.to(y.real.dtype) ** 2
        if self.lam is not None:
            return (unit * self.lam).expand(y.shape[0]), None
        noise = as_sigma(A.estimate_sigma(y) if sigma is None else sigma, y)
        lam = unit * _by_discrepancy(y.detach(), A, noise.detach(), unit, self.max_iterations)
        # Aᴴy requires a gradient if y does, or a tensor that A holds.
        if torch.is_grad_enabled() and (noise.requires_grad or A.H(y).requires_grad):
            lam = _with_gradient(lam, y, A, noise, self.max_iterations)
        return lam, noise


@torch.no_grad()
def _by_discrepancy(
    y: Tensor, A: LinearOperator, sigma: Tensor, unit: Tensor, max_iterations: int
) -> Tensor:
    """Halve the range of log λ: the residual falls as λ grows."""
    # Squares of data in small units would vanish, and those of data in large ones overflow.
    scale = magnitude(y)
    y = y / per_sample(scale, y)
    back = A.H(y)
    wanted = sigma / scale * (y != 0).flatten(1).sum(1).sqrt()
    solver = LinearSolver(rtol=SEARCH_RTOL, max_iterations=max_iterations)
    low, high = (torch.full_like(sigma, value).log() for value in RANGE)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        lam = unit * middle.exp()
        x = solver(A, lam, per_sample(lam, back) * back).value
        too_large = norm(A(x) - y) > wanted
        low, high = torch.where(too_large, middle, low), torch.where(too_large, high, middle)
    return ((low + high) / 2).exp()


def _with_gradient(
    lam: Tensor, y: Tensor, A: LinearOperator, sigma: Tensor, max_iterations: int
) -> Tensor:
    """Return λ with the gradient that ``‖Ax − y‖² = N σ²`` gives it (implicit function theorem).

    With ``g(log λ, y, σ) = log ‖Ax − y‖ − log σ`` held constant, ``d log λ = −dg / (∂g/∂log λ)``.
    At an end of its range λ is constant.
    """
    scale = magnitude(y.detach())
    leaf = lam.log().requires_grad_()
    x = regularised_least_squares(
        y / per_sample(scale, y),
        A,
        leaf.exp(),
        tol=SEARCH_RTOL,
        max_iterations=max_iterations,
        raise_on_failure=False,
    ).value
    gap = norm(A(x) - y / per_sample(scale, y)).log() - sigma.log()
    (slope,) = torch.autograd.grad(gap.sum(), leaf, retain_graph=True)
    low, high = (math.log(value / float(A.nominal_norm.max()) ** 2) for value in RANGE)
    margin = (high - low) / 2**HALVINGS
    inside = (leaf > low + margin) & (leaf < high - margin)
    change = (gap - gap.detach()) / slope
    return (leaf.detach() - torch.where(inside, change, torch.zeros_like(change))).exp()
