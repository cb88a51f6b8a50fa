"""What the batches of a training step have shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from molrecon.reconstructors.learned import LearnedReconstructor
from molrecon.training.objective import Objective

LAM_LEVEL = 0.01
"""Noise level, relative to the image peak, at which λ is logged."""


def batch_figures(result: dict[str, Tensor], objective: Objective) -> dict[str, float]:
    """Return what one batch has shown; those figures that there are.

    Parameters
    ----------
    result
        Of the objective's forward pass.
    objective
        The objective, after the backward pass.
    """
    adjoint = objective.backward_solution
    solved = result["solved"] if adjoint is None else result["solved"] & adjoint.solved
    found = {
        # Failed solves give no gradient. Where all fail, the constraint's own gradient still
        # leads back to a contraction, where solves succeed again.
        "usable": float(bool(solved.any()) or "lipschitz" in result),
        "failed": float((~solved).sum()),
        "loss": float(result["loss"].detach()),
        "psnr": float(result["psnr"].mean()),
    }
    if "iterations" in result:
        found["iterations"] = float(result["iterations"])
    # Unrolled methods have linear solves in their backward pass, and no iteration.
    if adjoint is not None and objective.model.equilibrium is not None:
        found["adjoint_iterations"] = adjoint.network_evaluations
    if "lipschitz" in result:
        found["lipschitz"] = float(result["lipschitz"].max())
    return found


def step_figures(
    found: Sequence[dict[str, float]], model: LearnedReconstructor, device: torch.device
) -> dict[str, Any]:
    """Return the figures of a step from those of its batches, None for what there is none of."""
    lipschitz = [one["lipschitz"] for one in found if "lipschitz" in one]
    return {
        "loss": _mean(found, "loss"),
        "psnr": _mean(found, "psnr"),
        "iterations": _mean(found, "iterations"),
        "adjoint_iterations": _mean(found, "adjoint_iterations"),
        "lipschitz": max(lipschitz, default=None),
        "lam": _lam(model, device),
    }


@torch.no_grad()
def _lam(model: LearnedReconstructor, device: torch.device) -> float | None:
    if model.weight is None:
        return None
    return float(model.weight(torch.tensor([LAM_LEVEL], device=device))[0])


def _mean(found: Sequence[dict[str, float]], name: str) -> float | None:
    """Return the mean over those batches that have a figure of this name."""
    values = [one[name] for one in found if name in one]
    return sum(values) / len(values) if values else None
