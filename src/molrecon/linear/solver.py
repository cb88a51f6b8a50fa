"""What a linear solver looks like to those who use one."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from molrecon.linear.conjugate_gradient import LinearSolution
from molrecon.operators.base import LinearOperator


class LinearSolver(Protocol):
    """Solves ``(I + c AᴴA) x = r``, from ``x0`` if given; see `ConjugateGradient`."""

    def __call__(
        self, A: LinearOperator, c: Tensor | float, r: Tensor, x0: Tensor | None = None
    ) -> LinearSolution:
        """Solve; a failure is a status of the result."""
