"""A method and a scan under attack: the reconstruction as a function of its measurements alone."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from molrecon.equilibrium.forward_backward import ForwardBackward
from molrecon.equilibrium.solution import Solution
from molrecon.operators.base import LinearOperator
from molrecon.reconstructors.base import Held, Reconstructor
from molrecon.reconstructors.learned import LearnedReconstructor

ADJOINT_TOL = 0.1
"""Of the adjoint solves: the direction of steepest ascent need not be known better."""

MOST_ITERATIONS = 60
"""Where rounding keeps a solve from its tolerance, it ends here with the error bound it has."""


@dataclass(frozen=True, eq=False)
class Target:
    """A method, with unit, noise level σ and data weight λ fixed, and the scan it is attacked on.

    Under this condition, coil maps and mask fixed too, the robustness of
    `molrecon.equilibrium.robustness` is proved.
    """

    method: Held
    y: Tensor  # the unperturbed measurements, ``(batch, *A.shape_out)``
    A: LinearOperator

    @classmethod
    def of(
        cls,
        method: Reconstructor,
        y: Tensor,
        A: LinearOperator,
        sigma: Tensor | float | None = None,
    ) -> Target:
        """Fix all that a method derives from the measurements; σ is by default estimated."""
        return cls(_hastened(method).held(y, A, sigma=sigma), y, A)

    @property
    def free(self) -> Tensor:
        """Measurements that may be perturbed, bool, broadcastable to ``y``: the sampled ones."""
        mask: Tensor | None = getattr(self.A, "mask", None)
        if mask is None:
            return torch.ones_like(self.y, dtype=torch.bool)
        return mask != 0

    def reconstruct(self, y: Tensor, *, tol: float, x0: Tensor | None = None) -> Solution:
        """Reconstruct other measurements; a solve that fails is a status of the solution.

        Parameters
        ----------
        y
            Measurements ``(batch, *A.shape_out)``; where they require a gradient, the value has it.
        tol
            Largest relative distance to the exact solution. Solvers that stop by something else
            keep their own tolerance.
        x0
            Starting image ``(batch, *A.shape_in)``, for methods whose answer does not depend on it.
        """
        own = _stops_by_something_else(self.method.method)
        return self.method(y, self.A, tol=None if own else tol, x0=x0, raise_on_failure=False)


def _stops_by_something_else(method: Reconstructor) -> bool:
    return (
        isinstance(method, LearnedReconstructor)
        and method.equilibrium is not None
        and method.equilibrium.forward.stopping != "bound"
    )


def _hastened(method: Reconstructor) -> Reconstructor:
    """Return the method with solves no better than the search for a direction needs."""
    if not isinstance(method, LearnedReconstructor) or method.equilibrium is None:
        return method

    def limited(solver: ForwardBackward, tol: float) -> ForwardBackward:
        if solver.stopping != "bound":
            return solver
        most = min(solver.max_iterations, MOST_ITERATIONS)
        return replace(solver, tol=tol, max_iterations=most)

    own = method.equilibrium
    # A copy that shares the weights: the model that was handed over keeps its solvers.
    method = copy.copy(method)
    method.equilibrium = replace(
        own,
        forward=limited(own.forward, own.forward.tol),
        backward=limited(own.backward, ADJOINT_TOL),
    )
    return method
