"""Figures on held-out images during training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from molrecon.data.simulation.batch import Batch
from molrecon.lipschitz.local import jacobian_norm
from molrecon.operators.base import per_sample
from molrecon.reconstructors.learned import LearnedReconstructor
from molrecon.reconstructors.start import peak
from molrecon.training.losses import magnitude_mean_squared_error

LIPSCHITZ_IMAGES = 2
"""Number of images at which the Lipschitz value is measured, which takes longer than a solve."""


def validate(
    model: LearnedReconstructor,
    batches: Sequence[Batch],
    target: str = "full-scan",
) -> dict[str, float]:
    """Reconstruct held-out images, in batches of one, with the model's own solver.

    Parameters
    ----------
    model
        What is validated; it is in evaluation mode meanwhile.
    batches
        Measurements of one image each, with the image.
    target
        What a reconstruction is compared with, one of `Batch.targets`.

    Returns
    -------
    dict
        ``psnr``: mean over images of the PSNR of magnitudes in dB, range = the target's maximum;
        ``lipschitz``: largest ‖J_H(x*)‖₂ at the first two images, absent if convergence rests on
        no Lipschitz constant;
        ``network_evaluations``: mean over images; ``failed``: number of solves that did not
        converge, whose last value counts.
    """
    was_training = model.training
    model.eval()
    ratios, evaluations, failed, lipschitz = [], 0, 0, []
    equilibrium = model.equilibrium
    if equilibrium is not None:
        forward = replace(equilibrium.forward, stopping="residual", tol=1e-3)
        equilibrium = replace(equilibrium, forward=forward)
    for number, batch in enumerate(batches):
        A = batch.A
        with torch.no_grad():
            # Failures are reported, not raised: an early network may not be monotone yet.
            solution = model(
                batch.y,
                A,
                sigma=batch.sigma,
                equilibrium=equilibrium,
                raise_on_failure=False,
                output="fixed-point",
            )
        failed += int(not solution.converged)
        evaluations += solution.network_evaluations
        truth = batch.target(target)
        image = solution.value
        returned = model.returned(image, A, batch.y)
        error = magnitude_mean_squared_error(returned, truth)
        ratios.append(float(10 * torch.log10(truth.abs().max() ** 2 / error[0])))
        scale = peak(image)
        constrained = model.constrained_map(A, batch.sigma / scale)
        if constrained is not None and number < LIPSCHITZ_IMAGES:
            measured = jacobian_norm(
                constrained, image / per_sample(scale, image), tol=2e-3, max_iterations=60
            )
            lipschitz.append(measured.value.max())
    model.train(was_training)
    figures = {"lipschitz": float(torch.stack(lipschitz).max())} if lipschitz else {}
    return {
        "psnr": sum(ratios) / len(ratios),
        **figures,
        "network_evaluations": evaluations / len(ratios),
        "failed": float(failed),
    }
