"""A network applied to the SENSE image, without any data step."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field

from molrecon.equilibrium.solution import Solution
from molrecon.errors import ConvergenceError
from molrecon.linear.status import Status
from molrecon.reconstructors.learned import LearnedReconstructor, Problem
from molrecon.reconstructors.settings import ModelConfig


class PostProcessing(LearnedReconstructor):
    """``x = D(x_SENSE)``: UNET of the comparisons, and the only one blind to the data.

    (Jin et al., IEEE TIP 2017, on the SENSE image as in Pramanik, Zimmerman, Jacob, IEEE TCI
    2023.) It solves no equation, so residual and guarantee are not known.
    """

    def solve(self, problem: Problem) -> Solution:
        """Apply the network, in units of the image peak."""
        x = problem.confined(self.network, problem.start)
        finite = torch.isfinite(x.detach()).flatten(1).all(1).tolist()
        solution = Solution(
            value=x,
            status=tuple(Status.CONVERGED if flag else Status.NON_FINITE for flag in finite),
            iterations=torch.zeros(x.shape[0], dtype=torch.int64, device=x.device),
            network_evaluations=1,
            normal_evaluations=0,
        )
        if problem.raise_on_failure is not False and not solution.converged:
            sample = finite.index(False)
            raise ConvergenceError(
                f"The image of sample {sample} is not finite. {Status.NON_FINITE.sentence}"
            )
        return solution


class UNetConfig(ModelConfig):
    """Settings of a `PostProcessing` model; by default its network is the `UNet`."""

    method: Literal["unet"] = "unet"
    network: dict[str, Any] = Field(default_factory=lambda: {"kind": "unet"})

    def build(self) -> PostProcessing:
        """Build the model, with fresh weights."""
        return PostProcessing(self.build_network(), output=self.output)
