"""What a training step computes: from a batch to a loss."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from molrecon.data.simulation.batch import Batch
from molrecon.equilibrium.implicit import Equilibrium
from molrecon.equilibrium.solution import Solution
from molrecon.linear.solver import LinearSolver
from molrecon.networks.precision import computes_bf16
from molrecon.operators.base import per_sample
from molrecon.reconstructors.learned import LearnedReconstructor
from molrecon.reconstructors.start import peak
from molrecon.training.configuration import Stage, TrainingConfig
from molrecon.training.constraint import LipschitzConstraint
from molrecon.training.losses import LOSSES


class Objective(nn.Module):
    """A model and its loss, as one module, so that it can be wrapped for several devices.

    ``backward_solution`` is the adjoint `Solution` of the last backward pass, None before it;
    ``point`` is what the method computed in the last forward pass.
    """

    def __init__(self, model: LearnedReconstructor, config: TrainingConfig) -> None:
        super().__init__()
        self.model = model
        self.loss = LOSSES[config.loss]
        self.target = config.target
        self.output = config.trained_output
        self.constraint = LipschitzConstraint(config.lipschitz)
        self.backward_solution: Solution | None = None
        self.point: Tensor | None = None
        self.mixed = config.precision == "bf16-mixed"

    def forward(
        self, tensors: dict[str, Tensor], stage: Stage, step: int, number: int = 0
    ) -> dict[str, Tensor]:
        """Compute the loss of a batch, `Batch.tensors`, at a step counted from 0 over all stages.

        Of several batches of a step, it is the one of this number.

        Returns
        -------
        dict
            ``loss``, a scalar; ``psnr`` in dB for a peak of 1, and ``solved``, ``(batch,)``; where
            they exist ``iterations``, a scalar, and ``lipschitz``, ``(batch,)``.
        """
        # Convolutions alone: Fabric's own mixed precision would round the measurements as well.
        device = tensors["image"].device
        mixed = self.mixed and computes_bf16(device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=mixed):
            return self._forward(tensors, stage, step, number)

    def _forward(
        self, tensors: dict[str, Tensor], stage: Stage, step: int, number: int
    ) -> dict[str, Tensor]:
        batch = stage.simulation.batch(tensors)
        self.backward_solution = None
        estimate, target, solved, extra = _OBJECTIVES[stage.objective](self, batch, stage)
        point = self.point = extra.pop("point", estimate).detach()
        losses = self.loss(estimate, target)
        weights = solved.to(losses.dtype)
        # A failed solve has no meaningful gradient: it is left out, and counted by the caller.
        losses = torch.where(solved, losses, torch.zeros_like(losses))
        loss = losses.sum() / weights.sum().clamp_min(1)
        with torch.no_grad():
            error = (estimate - target).abs().square().flatten(1).mean(1)
            extra |= {"psnr": -10 * torch.log10(error + 1e-10), "solved": solved}
        if self.constraint.due(step):
            loss = loss + self._constrain(batch, point, extra, number)
        return {"loss": loss, **extra}

    def _constrain(
        self, batch: Batch, image: Tensor, extra: dict[str, Tensor], number: int
    ) -> Tensor | float:
        """Return the constraint's share of the loss, if the model has a map it applies to."""
        scale = peak(image)
        constrained = self.model.constrained_map(batch.A, batch.sigma / scale)
        if constrained is None:
            return 0.0
        barrier, extra["lipschitz"] = self.constraint(
            constrained, image / per_sample(scale, image), number
        )
        return barrier

    def _denoise(
        self, batch: Batch, stage: Stage
    ) -> tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]:
        # White in the image, as that of a fully sampled scan is, at random levels.
        generator = torch.Generator().manual_seed(int(batch.sigma.sum().mul(1e9).item()) % 2**31)
        noise = torch.randn(batch.image.shape, generator=generator, dtype=batch.image.dtype)
        noisy = batch.image + per_sample(batch.sigma, batch.image) * noise.to(batch.image.device)
        estimate = self.model.network(noisy, batch.sigma)
        return estimate, batch.image, torch.ones_like(batch.sigma, dtype=torch.bool), {}

    def _reconstruct(
        self, batch: Batch, stage: Stage
    ) -> tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]:
        A = batch.A
        solution = self.model(
            batch.y,
            A,
            sigma=batch.sigma,
            x0=batch.start,
            equilibrium=self._equilibrium(stage),
            raise_on_failure=False,
            on_backward=self._keep,
            output="fixed-point",
        )
        point = solution.value
        extra = {"iterations": torch.tensor(float(solution.network_evaluations)), "point": point}
        image = self.model.returned(point, A, batch.y, self.output)
        return *batch.compared(image, self.target), solution.solved, extra

    def _keep(self, solution: Solution) -> None:
        self.backward_solution = solution

    def _equilibrium(self, stage: Stage) -> Equilibrium | None:
        own = self.model.equilibrium
        if own is None:
            return None
        limits: dict[str, Any] = {
            "stopping": "residual",
            "max_iterations": stage.max_iterations,
            "inner": LinearSolver(
                rtol=stage.inner_reduction,
                max_iterations=stage.inner_iterations,
            ),
        }
        return Equilibrium(
            forward=replace(own.forward, tol=stage.forward_tol, **limits),
            backward=replace(own.backward, tol=stage.backward_tol, **limits),
        )


_OBJECTIVES = {"denoise": Objective._denoise, "reconstruct": Objective._reconstruct}
