"""What a linear solve returns, and what a linear solver looks like to those who use one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from molrecon.errors import ConvergenceError, InputError
from molrecon.linear.status import Status
from molrecon.operators.base import LinearOperator


@dataclass(frozen=True)
class LinearSolution:
    """The solution of ``(I + c AᴴA) x = r``, and how it was found.

    Parameters
    ----------
    value
        The solution x, ``(batch, *shape_in)``.
    status
        One `Status` for every sample.
    iterations
        Iterations every sample took, ``(batch,)``.
    residual
        ``‖r − (I + cAᴴA)x‖`` of every sample, ``(batch,)``; that of conjugate gradients comes from
        their recurrence, so it does not hold the rounding that it collected on the way.
    error
        Bound on the distance of x to the exact solution in exact arithmetic, ``(batch,)``: the
        residual, since the inverse has norm at most 1, or less where the solver knows better.
    initial_residual
        The residual at the starting point, computed explicitly, ``(batch,)``.
    normal_evaluations
        Applications of AᴴA, each for the whole batch at once.

    Examples
    --------
    >>> import torch
    >>> from molrecon import Denoising, LinearSolver
    >>> solution = LinearSolver()(Denoising((1, 4, 4)), 3.0, torch.full((1, 1, 4, 4), 8.0))
    >>> solution.status[0].name, bool(solution.error < 1e-5)
    ('CONVERGED', True)
    """

    value: Tensor
    status: tuple[Status, ...]
    iterations: Tensor
    residual: Tensor
    error: Tensor
    initial_residual: Tensor
    normal_evaluations: int

    def raise_unless_converged(self, what: str = "linear solve") -> None:
        """Raise an exception about the first sample that did not converge.

        Parameters
        ----------
        what
            How the solve is called in the sentence.

        Raises
        ------
        ConvergenceError
            If a sample did not reach its tolerance.
        """
        for sample, status in enumerate(self.status):
            if status is not Status.CONVERGED:
                raise ConvergenceError(
                    f"The {what} of sample {sample} stopped at a residual of "
                    f"{self.residual[sample]:.2e} after {int(self.iterations[sample])} "
                    f"iterations. {status.sentence}"
                )


class Solver(Protocol):
    """Anything that solves ``(I + c AᴴA) x = r`` as `LinearSolver` and `ConjugateGradient` do."""

    def __call__(
        self, A: LinearOperator, c: Tensor | float, r: Tensor, x0: Tensor | None = None
    ) -> LinearSolution:
        """Solve, from ``x0`` if given; a failure is a status of the result."""


def as_weights(c: Tensor | float, r: Tensor) -> Tensor:
    """Return the weight c of every sample, ``(batch,)``, not negative and finite."""
    if isinstance(c, Tensor) and c.is_complex():
        raise InputError(f"the weight of AᴴA is {c.dtype}, expected real values of at least 0")
    weights = torch.as_tensor(c, dtype=r.real.dtype, device=r.device)
    wrong = weights[~(torch.isfinite(weights) & (weights >= 0))]
    if len(wrong):
        raise InputError(
            f"the weight of AᴴA is {float(wrong[0]):g}, expected finite values of at least 0"
        )
    if weights.ndim > 1 or (weights.ndim == 1 and weights.shape[0] not in (1, r.shape[0])):
        raise InputError(
            f"the weight of AᴴA has shape {tuple(weights.shape)}, expected ({r.shape[0]},)"
        )
    return weights.expand(r.shape[0])


def statuses(residual: Tensor, threshold: Tensor) -> tuple[Status, ...]:
    """Return the status of every sample from its residual and what was allowed, ``(batch,)``."""

    def one(value: float, limit: float) -> Status:
        if not value < float("inf"):
            return Status.NON_FINITE
        return Status.CONVERGED if value <= limit else Status.ITERATION_LIMIT

    return tuple(one(v, t) for v, t in zip(residual.tolist(), threshold.tolist(), strict=True))
