"""What methods of a fixed number of iterations share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from molrecon.equilibrium.solution import Solution
from molrecon.errors import InputError
from molrecon.linear.regularised import solve_regularised
from molrecon.linear.solution import LinearSolution, Solver
from molrecon.linear.solver import LinearSolver
from molrecon.linear.status import Status
from molrecon.networks import AnyNetwork
from molrecon.networks.base import Network
from molrecon.networks.cnn import CNNSettings
from molrecon.operators.base import norm, per_sample
from molrecon.reconstructors.learned import LearnedReconstructor, Output, ScaledProblem
from molrecon.reconstructors.settings import ModelConfig, WeightConfig
from molrecon.reconstructors.weights import DataWeight
from molrecon.settings import Settings


class Unrolled(LearnedReconstructor):
    """A fixed number of alternations between one network and the data, trained end to end.

    Every iteration uses the same weights. The data step ``(I + λAᴴA)⁻¹(z + λAᴴy)`` is a linear
    solve with an implicit gradient (`solve_regularised`); the network's activations are kept for
    every iteration, so that memory grows with their number. Nothing bounds the distance of the
    result to anything, so there is no guarantee. `Solution.relative_residual` is the relative
    change in the last iteration, and the status that of the linear solves.
    """

    weight: DataWeight

    def __init__(
        self,
        network: Network,
        weight: DataWeight | None = None,
        *,
        iterations: int = 10,
        solver: Solver | None = None,
        output: Output = "fixed-point",
    ) -> None:
        super().__init__(network, weight or DataWeight(), output=output)
        if iterations < 1:
            raise InputError(f"iterations is {iterations}, expected at least 1")
        self.iterations = iterations
        self.solver = solver or LinearSolver(rtol=1e-4)

    @abstractmethod
    def iterate(
        self, x: Tensor, denoise: Callable[[Tensor], Tensor], data_step: DataStep
    ) -> tuple[Tensor, Tensor]:
        """Return the last two iterates, from the start ``x``."""

    def solve(self, problem: ScaledProblem) -> Solution:
        """Run the iterations, in units of the image peak."""
        lam = self.weight(problem.sigma)
        data_step = DataStep(problem, lam, self.solver)
        before, x = self.iterate(problem.start, problem.confined(self.network), data_step)
        with torch.no_grad():
            change = norm(x - before) / norm(x).clamp_min(torch.finfo(lam.dtype).tiny)
        solution = data_step.forward.solution(x, lam, change)
        solution = replace(
            solution,
            iterations=torch.full_like(solution.iterations, self.iterations),
            network_evaluations=self.iterations,
        )
        if problem.raise_on_failure:
            solution.raise_unless_converged("data step")
        return solution


class DataStep:
    """``z ↦ (I + λAᴴA)⁻¹(z + λAᴴy)``, differentiable; ``forward`` and ``backward`` keep account."""

    def __init__(self, problem: ScaledProblem, lam: Tensor, solver: Solver) -> None:
        back = problem.A.H(problem.y)
        self._A, self._lam, self._solver = problem.A, lam, solver
        self._rhs = per_sample(lam, back) * back
        self._problem = problem
        self.forward, self.backward = Account(back), Account(back)

    def __call__(self, z: Tensor, x0: Tensor) -> Tensor:
        """Solve from ``x0``, which affects the work and never the answer."""
        return solve_regularised(
            self._A,
            self._lam,
            z + self._rhs,
            x0.detach(),
            solver=self._solver,
            report=self._report,
        )

    def _report(self, direction: str, linear: LinearSolution) -> None:
        if direction == "forward":
            self.forward.add(linear)
            return
        self.backward.add(linear)
        # After the last of them, the receiver holds the account of the whole pass.
        solution = self.backward.solution(linear.value, self._lam, self.backward.residual)
        if self._problem.on_backward is not None:
            self._problem.on_backward(solution)
        if self._problem.raise_on_failure:
            solution.raise_unless_converged("backward data step")


class Account:
    """What the linear solves of a pass came to, for every sample the worst of them."""

    def __init__(self, like: Tensor) -> None:
        batch, device = like.shape[0], like.device
        self.status = [Status.CONVERGED] * batch
        self.iterations = torch.zeros(batch, dtype=torch.int64, device=device)
        self.residual = torch.zeros(batch, dtype=like.real.dtype, device=device)
        self.normal_evaluations = 0

    def add(self, linear: LinearSolution) -> None:
        """Add a solve."""
        self.status = [
            old if new is Status.CONVERGED or old is Status.NON_FINITE else new
            for old, new in zip(self.status, linear.status, strict=True)
        ]
        self.iterations = self.iterations + linear.iterations
        relative = linear.residual / norm(linear.value).clamp_min(
            torch.finfo(self.residual.dtype).tiny
        )
        self.residual = torch.maximum(self.residual, relative)
        self.normal_evaluations += linear.normal_evaluations

    def solution(self, value: Tensor, lam: Tensor | None, relative_residual: Tensor) -> Solution:
        """Return it as a `Solution` that bounds nothing."""
        return Solution(
            value=value,
            status=tuple(self.status),
            iterations=self.iterations,
            network_evaluations=0,
            normal_evaluations=self.normal_evaluations,
            relative_residual=relative_residual,
            lam=lam,
        )


class DataStepConfig(Settings):
    """Settings of the linear solves of a data step."""

    tol: float = Field(1e-4, ge=0, lt=1)
    max_iterations: int = Field(100, ge=1)

    def build(self) -> Solver:
        """Return the solver."""
        return LinearSolver(rtol=self.tol, max_iterations=self.max_iterations)


class UnrolledConfig(ModelConfig):
    """Settings of an `Unrolled` model: the paper's network with a skip around it, ten times."""

    network: AnyNetwork = CNNSettings(residual=True)
    weight: WeightConfig = WeightConfig()
    iterations: int = Field(10, ge=1)
    data_step: DataStepConfig = DataStepConfig()

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the model, of which the data step is the solver."""
        values = super().arguments()
        return values | {"solver": values.pop("data_step")}
