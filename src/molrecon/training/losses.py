"""Training losses; every one takes images of shape (batch, channel, *spatial)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]


def mean_squared_error(estimate: Tensor, target: Tensor) -> Tensor:
    """Return the mean of ``|estimate − target|²`` of every sample, ``(batch,)``."""
    return (estimate - target).abs().square().flatten(1).mean(1)


def magnitude_mean_squared_error(estimate: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared difference of magnitudes of every sample, as the published code."""
    return (estimate.abs() - target.abs()).square().flatten(1).mean(1)


def negative_psnr(estimate: Tensor, target: Tensor) -> Tensor:
    """Return ten log₁₀ of the mean squared complex error of every sample, in decibel.

    Easy and hard samples (low and high noise or acceleration) weigh the same, which a plain mean
    of squared errors does not give.
    """
    return 10 * torch.log10(mean_squared_error(estimate, target) + 1e-10)


LOSSES: dict[str, Loss] = {
    "psnr": negative_psnr,
    "mse": mean_squared_error,
    "magnitude-mse": magnitude_mean_squared_error,
}
"""Losses by the name a configuration uses."""
