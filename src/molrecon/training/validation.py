"""Figures on held-out images during training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
from lightning_fabric import Fabric
from torch import Tensor

from molrecon.data.simulation.batch import Batch
from molrecon.lipschitz.jacobian import jacobian_norm
from molrecon.operators.base import per_sample
from molrecon.reconstructors.learned import LearnedReconstructor
from molrecon.reconstructors.start import peak
from molrecon.training.configuration import TrainingConfig
from molrecon.training.processes import gathered

Show = Callable[[int, Tensor], None]
SHOWN = 4
"""Number of images that are shown."""

LIPSCHITZ_IMAGES = 2
"""Number of images at which the Lipschitz value is measured, which takes longer than a solve."""


def validation_set(
    config: TrainingConfig, files: Sequence[str], device: torch.device
) -> list[Batch]:
    """Return the held-out images of a run with their measurements, in batches of one."""
    data, simulation = config.data, config.stages[-1].simulation
    size = None if data.validation_size is None else tuple(data.validation_size)
    at_levels = [
        simulation.at(sigma=sigma, acceleration=data.validation_acceleration).validation(
            files, seed=config.seed, count=data.validation_count, size=size
        )
        for sigma in data.validation_levels
    ]
    # Every image at one level, in turn.
    chosen = [at_levels[i % len(at_levels)][i] for i in range(len(at_levels[0]))]
    return [batch.to(device) for batch in chosen]


def validate(
    model: LearnedReconstructor,
    batches: Sequence[Batch],
    target: str = "full-scan",
    *,
    lipschitz_images: int = LIPSCHITZ_IMAGES,
    fabric: Fabric | None = None,
    show: Show | None = None,
) -> dict[str, float]:
    """Reconstruct held-out images, in batches of one, with the model's own solver.

    The processes of a ``fabric`` share the images, and all get the figures of all. The magnitudes
    of the first images of a process are given to ``show``, with their number.

    Returns
    -------
    dict
        ``psnr``: mean over images of the PSNR of magnitudes in dB, range = the target's maximum;
        ``lipschitz``: largest ‖J_H(x*)‖₂ at the first images, absent if convergence rests on
        no Lipschitz constant;
        ``network_evaluations``: mean over images; ``failed``: number of solves that did not
        converge, whose last value counts.
    """
    was_training = model.training
    model.eval()
    chosen = range(fabric.global_rank, len(batches), fabric.world_size) if fabric else None
    own = {
        number: _figures(
            model,
            batches[number],
            target,
            number < lipschitz_images,
            None if show is None or number >= SHOWN else partial(show, number),
        )
        for number in chosen or range(len(batches))
    }
    model.train(was_training)
    by_number = own
    for other in gathered(fabric, own) if fabric else ():
        by_number = by_number | other
    found = [by_number[number] for number in range(len(batches))]
    lipschitz = [one["lipschitz"] for one in found if "lipschitz" in one]
    count = len(found)
    return {
        "psnr": sum(one["psnr"] for one in found) / count,
        **({"lipschitz": max(lipschitz)} if lipschitz else {}),
        "network_evaluations": sum(one["network_evaluations"] for one in found) / count,
        "failed": sum(one["failed"] for one in found),
    }


def _figures(
    model: LearnedReconstructor,
    batch: Batch,
    target: str,
    lipschitz: bool,
    show: Callable[[Tensor], None] | None,
) -> dict[str, float]:
    """Return the figures of one image."""
    A, equilibrium = batch.A, model.equilibrium
    if equilibrium is not None:
        forward = replace(equilibrium.forward, stopping="residual", tol=1e-3)
        equilibrium = replace(equilibrium, forward=forward)
    with torch.no_grad():
        # Failures are reported, not raised: an early network may not be monotone yet.
        solution = model(
            batch.y,
            A,
            sigma=batch.sigma,
            x0=batch.start,
            equilibrium=equilibrium,
            raise_on_failure=False,
            output="fixed-point",
        )
    image = solution.value
    returned = model.returned(image, A, batch.y)
    if show is not None:
        show(torch.linalg.vector_norm(returned[0], dim=0))
    figures = {
        "psnr": batch.psnr(returned, target),
        "network_evaluations": float(solution.network_evaluations),
        "failed": float(not solution.converged),
    }
    scale = peak(image)
    constrained = model.constrained_map(A, batch.sigma / scale)
    if constrained is not None and lipschitz:
        measured = jacobian_norm(
            constrained, image / per_sample(scale, image), tol=2e-3, max_iterations=60
        )
        figures["lipschitz"] = float(measured.value.max())
    return figures
