"""Monotone operator learning with a network that is not monotone by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import Field
from torch import Tensor

from molrecon.equilibrium.explicit import ExplicitEquation, left_side
from molrecon.equilibrium.implicit import Equilibrium
from molrecon.equilibrium.of_samples import told
from molrecon.equilibrium.solution import Solution
from molrecon.errors import InputError
from molrecon.networks import AnyNetwork
from molrecon.networks.base import Network
from molrecon.networks.cnn import CNNSettings
from molrecon.operators.base import LinearOperator, per_sample
from molrecon.reconstructors.learned import LearnedReconstructor, Output, ScaledProblem
from molrecon.reconstructors.settings import EquilibriumModelConfig, SolverConfig, WeightConfig
from molrecon.reconstructors.weights import DataWeight


class MnMMOL(LearnedReconstructor):
    """MOL's equation, the constraint on the sum of data gradient and network, near the images.

    (John, Chand, Jacob, IEEE TCI 2024, arXiv 2312.00386.) With ``c = λ / (1 + λ)`` the equation
    ``G(x) = c Aᴴ(Ax − y) + (1 − c)(x − H(x)) = 0`` is that of `MOL` divided by 1 + λ. Training
    holds ``Lip(I − ηG) ≤ 1 − ηm`` at the images (`constrained_map`), with the A they were measured
    by, so ``x ← x − ηG(x)`` contracts around them; H itself may expand wherever the data hold the
    image. What A has not been trained on is not covered, and neither is a start far away; the error
    bound is conditional on both.

    Parameters
    ----------
    network
        H.
    weight
        λ as a function of the noise, in units of ``1 / nominal_norm²``.
    step
        η in (0, 1].
    monotonicity
        m in (0, 1), of G.
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
    >>> from molrecon import CNN, Denoising, MnMMOL
    >>> network = CNN(features=2, layers=2).eval()
    >>> y = torch.ones(1, 1, 8, 8, dtype=torch.complex64)
    >>> A = Denoising((1, 8, 8), dtype=torch.complex64)
    >>> solution = MnMMOL(network)(y, A, sigma=0.1)
    >>> solution.converged, solution.certified
    (True, False)
    """

    name = "mnm-mol"

    weight: DataWeight
    equilibrium: Equilibrium
    monotonicity: float
    constrains_network = False
    constrained_name = "I − ηG"

    def __init__(
        self,
        network: Network,
        weight: DataWeight | None = None,
        *,
        step: float = 1.0,
        monotonicity: float = 0.02,
        equilibrium: Equilibrium | None = None,
        output: Output = "fixed-point",
    ) -> None:
        super().__init__(
            network,
            weight or DataWeight("fixed", 1.0),
            equilibrium or Equilibrium(),
            output,
            monotonicity,
        )
        if not 0 < step <= 1:
            raise InputError(f"step is {step}, expected a value in (0, 1]")
        self.step = step

    @property
    def lipschitz_limit(self) -> float:
        """1 − ηm."""
        return 1 - self.step * self.monotonicity

    @property
    def constraint_text(self) -> str:
        """The bound that training aims at."""
        return f"Lip(I − ηG) ≤ {self.lipschitz_limit:g} with the operators it saw"

    def constrained_map(self, A: LinearOperator, sigma: Tensor) -> Callable[[Tensor], Tensor]:
        """Return ``I − ηG`` up to a constant, for this operator."""
        return self._equation(A, self.weight(sigma), told(self.network, sigma), y=None).moved

    def solve(self, problem: ScaledProblem) -> Solution:
        """Solve the equation, in units of the image peak."""
        lam = self.weight(problem.sigma)
        equation = self._equation(problem.A, lam, problem.confined(self.network), problem.y)
        return problem.solvers(self.equilibrium)(
            equation, problem.start, on_backward=problem.on_backward
        )

    def _equation(
        self, A: LinearOperator, lam: Tensor, H: Callable[[Tensor], Tensor], y: Tensor | None
    ) -> ExplicitEquation:
        share = lam / (1 + lam)
        data = share / (A.nominal_norm**2).to(share.dtype)

        back = 0 * lam if y is None else A.H(y)
        return ExplicitEquation(
            S=left_side(A, data, 1 - share, H),
            rhs=per_sample(data, back) * back,
            length=self.step,
            monotonicity=self.monotonicity,
            lam=lam,
        )


class MnMMOLConfig(EquilibriumModelConfig):
    """Settings of an `MnMMOL` model."""

    builds = MnMMOL
    method: Literal["mnm-mol"] = "mnm-mol"
    network: AnyNetwork = CNNSettings()
    weight: WeightConfig = WeightConfig(kind="fixed", lam0=1.0)
    step: float = Field(1.0, gt=0, le=1)
    forward: SolverConfig = SolverConfig(max_iterations=1000)
    backward: SolverConfig = SolverConfig(max_iterations=1000)
