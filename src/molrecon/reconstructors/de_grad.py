"""Deep equilibrium gradient descent."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field

from molrecon.equilibrium.explicit import ExplicitEquation, left_side
from molrecon.equilibrium.implicit import Equilibrium
from molrecon.equilibrium.robustness import robustness_constant
from molrecon.equilibrium.solution import Solution
from molrecon.errors import InputError
from molrecon.networks import AnyNetwork
from molrecon.networks.base import Network
from molrecon.networks.kernel_normalised import KernelNormalisedSettings
from molrecon.operators.base import per_sample
from molrecon.reconstructors.learned import LearnedReconstructor, Output, ScaledProblem
from molrecon.reconstructors.settings import EquilibriumModelConfig, SolverConfig


class DEGrad(LearnedReconstructor):
    """Equilibrium of ``x ← x − η(AᴴAx − Aᴴy + D(x))``, ``D = I − N`` with a normalised network N.

    (Gilton, Ongie, Willett, IEEE TCI 2021, DE-Grad.) There is no weight of the data term: D has to
    learn it. A is counted in units of `LinearOperator.nominal_norm`, lest the answer depend on how
    an operator is scaled. η changes the speed and never the answer (its gradient at a fixed point
    is zero), so it is a setting and is not learned.

    If ``Lip(N) ≤ 1 − m`` and ``η ≤ 2 / (2 + ‖A‖²)`` the step contracts with ``1 − ηm``, since
    ``‖(1 − η)I − ηAᴴA‖ ≤ 1 − η``. A `SpectralCNN` satisfies the first condition, and the error
    bound then takes the second on trust, so it is not certified. The kernel-wise normalisation
    that the method was published with satisfies neither for sure: there there is no guarantee,
    and solves that fail say so.

    Parameters
    ----------
    network
        N, as published a `KernelNormalisedCNN`.
    step
        η in (0, 2/3], which is the bound above for ‖A‖ = 1.
    monotonicity
        m in (0, 1), for the error bound.
    equilibrium
        The solvers; their α and inner solver play no role.
    output
        ``"fixed-point"``: the image is what the method computes. ``"full-scan"``: it is what a
        full scan would have shown, ``x + Aᴴ(y − A x)``, which keeps the measured samples with
        their noise.

    Raises
    ------
    InputError
        If an argument is out of range.

    Examples
    --------
    >>> import torch
    >>> from molrecon import DEGrad, Denoising, SpectralCNN
    >>> network = SpectralCNN(features=2, layers=2, lipschitz=0.9).eval()
    >>> y = torch.ones(1, 1, 8, 8, dtype=torch.complex64)
    >>> A = Denoising((1, 8, 8), dtype=torch.complex64)
    >>> solution = DEGrad(network, monotonicity=0.1)(y, A, sigma=0.1)
    >>> solution.converged, solution.certified
    (True, False)
    """

    name = "de-grad"

    monotonicity: float
    equilibrium: Equilibrium
    constrained_name = "N"

    def __init__(
        self,
        network: Network,
        *,
        step: float = 0.5,
        monotonicity: float = 0.02,
        equilibrium: Equilibrium | None = None,
        output: Output = "fixed-point",
    ) -> None:
        super().__init__(network, None, equilibrium or Equilibrium(), output, monotonicity)
        if not 0 < step <= 2 / 3:
            raise InputError(f"step is {step}, expected a value in (0, 2/3]")
        self.step = step

    @property
    def lipschitz_limit(self) -> float:
        """1 − m."""
        return 1 - self.monotonicity

    @property
    def constraint_text(self) -> str | None:
        """The bound on N that the error bound rests on; None where there is none."""
        return f"Lip(N) ≤ {self.lipschitz_limit:g}, D = I − N" if self._is_bounded() else None

    def _is_bounded(self) -> bool:
        bound = self.network.lipschitz_bound()
        return bound is not None and bound <= self.lipschitz_limit

    def solve(self, problem: ScaledProblem) -> Solution:
        """Solve the equation, in units of the image peak."""
        A, network = problem.A, problem.confined(self.network)
        weight = (1 / A.nominal_norm**2).to(problem.sigma.dtype).expand(problem.sigma.shape)
        back = A.H(problem.y)

        equation = ExplicitEquation(
            S=left_side(A, weight, torch.ones_like(weight), network),
            rhs=per_sample(weight, back) * back,
            length=self.step,
            monotonicity=self.monotonicity,
            lam=weight,
        )
        solution = problem.solvers(self.equilibrium)(
            equation, problem.start, on_backward=problem.on_backward
        )
        if not self._is_bounded():
            return replace(solution, guarantee=None)
        constant = robustness_constant(weight, self.monotonicity)
        assert solution.guarantee is not None
        guarantee = replace(solution.guarantee, robustness=constant)
        return replace(solution, guarantee=guarantee)


class DEGradConfig(EquilibriumModelConfig):
    """Settings of a `DEGrad` model: the paper's network, every kernel normalised."""

    builds = DEGrad
    method: Literal["de-grad"] = "de-grad"
    network: AnyNetwork = KernelNormalisedSettings()
    step: float = Field(0.5, gt=0, le=2 / 3)
    forward: SolverConfig = SolverConfig(stopping="residual", tol=1e-4, max_iterations=1000)
    backward: SolverConfig = SolverConfig(stopping="residual", tol=1e-4, max_iterations=1000)
