"""A network applied to the SENSE image, without any data step."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from molrecon.equilibrium.solution import Solution
from molrecon.reconstructors.base import direct_solution
from molrecon.reconstructors.learned import LearnedReconstructor, ScaledProblem
from molrecon.reconstructors.settings import ModelConfig


class PostProcessing(LearnedReconstructor):
    """``x = D(x_SENSE)``: UNET of the comparisons, and the only one blind to the data.

    (Jin et al., IEEE TIP 2017, on the SENSE image as in Pramanik, Zimmerman, Jacob, IEEE TCI
    2023.) It solves no equation, so nothing is known about its error.
    """

    name = "unet"

    def solve(self, problem: ScaledProblem) -> Solution:
        """Apply the network, in units of the image peak."""
        return direct_solution(
            problem.confined(self.network, problem.start),
            network_evaluations=1,
            raise_on_failure=problem.raise_on_failure,
        )


class PostProcessingConfig(ModelConfig):
    """Settings of a `PostProcessing` model; by default its network is the `UNet`."""

    method: Literal["unet"] = "unet"
    network: dict[str, Any] = Field(default_factory=lambda: {"kind": "unet"})

    def build(self) -> PostProcessing:
        """Build the model, with fresh weights."""
        return PostProcessing(self.build_network(), output=self.output)
