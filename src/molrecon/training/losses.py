"""Training losses; every one takes images of shape (batch, channel, *spatial)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from molrecon.evaluation.ssim import structural_similarity

SSIM_SHARE = 0.5
"""What a decibel of 1 − SSIM counts, where a decibel of the error counts 1."""

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


def negative_psnr_and_ssim(estimate: Tensor, target: Tensor) -> Tensor:
    """Return `negative_psnr` and half as many decibel of 1 − SSIM, of every sample.

    The squared error hardly sees noise in air, where SSIM of magnitudes loses most: their mean
    there is that of the noise, the target's is zero.
    """
    peak = target.abs().flatten(1).amax(1).clamp_min(1e-10)
    similarity = structural_similarity(estimate.abs()[:, 0], target.abs()[:, 0], peak)
    # Finite at the target, and flat below what single precision can tell from it.
    unlike = 10 * torch.log10(1 - similarity + 1e-6).to(peak.dtype)
    return negative_psnr(estimate, target) + SSIM_SHARE * unlike


LOSSES: dict[str, Loss] = {
    "psnr": negative_psnr,
    "psnr-ssim": negative_psnr_and_ssim,
    "mse": mean_squared_error,
    "magnitude-mse": magnitude_mean_squared_error,
}
"""Losses by the name a configuration uses."""
