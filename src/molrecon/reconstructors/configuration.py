"""The settings a model is built from, as they stand in a configuration and in a weights file."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from molrecon.equilibrium.forward_backward import ForwardBackward, Stopping
from molrecon.equilibrium.implicit import Equilibrium
from molrecon.linear.closed_form import ClosedForm
from molrecon.linear.conjugate_gradient import ConjugateGradient
from molrecon.networks import build_network
from molrecon.reconstructors.mol import MOL, Output
from molrecon.reconstructors.weights import DataWeight


class WeightConfig(BaseModel):
    """Settings of `DataWeight`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["noise", "fixed"] = "noise"
    lam0: float = Field(0.005, gt=0)
    floor: float = Field(1.5e-3, gt=0)


class SolverConfig(BaseModel):
    """Settings of `ForwardBackward`; the inner solver reduces its starting residual."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    alpha: float = Field(1.0, gt=0, le=1)
    tol: float = Field(1e-3, gt=0)
    stopping: Stopping = "bound"
    max_iterations: int = Field(200, ge=1)
    memory: int = Field(5, ge=0)
    inner_reduction: float = Field(0.2, ge=0, lt=1)
    inner_iterations: int = Field(100, ge=1)

    def build(self) -> ForwardBackward:
        """Build the solver."""
        return ForwardBackward(
            alpha=self.alpha,
            tol=self.tol,
            stopping=self.stopping,
            max_iterations=self.max_iterations,
            memory=self.memory,
            inner=ClosedForm(
                ConjugateGradient(
                    rtol=self.inner_reduction,
                    relative_to="start",
                    max_iterations=self.inner_iterations,
                )
            ),
        )


class ModelConfig(BaseModel):
    """Settings of a `MOL` model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: dict[str, Any] = Field(default_factory=lambda: {"kind": "cnn"})
    weight: WeightConfig = WeightConfig()
    monotonicity: float = Field(0.02, gt=0, lt=1)
    shift: float = Field(0.0, ge=0)
    output: Output = "fixed-point"
    forward: SolverConfig = SolverConfig()
    backward: SolverConfig = SolverConfig()

    def build(self) -> MOL:
        """Build the model, with fresh weights.

        Raises
        ------
        InputError
            If the network's kind or arguments are unknown.
        """
        return MOL(
            build_network(self.network),
            DataWeight(**self.weight.model_dump()),
            monotonicity=self.monotonicity,
            equilibrium=Equilibrium(self.forward.build(), self.backward.build()),
            shift=self.shift,
            output=self.output,
        )
