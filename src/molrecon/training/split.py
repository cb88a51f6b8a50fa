"""A scan whose samples are split into those an image is made of and those it is to predict."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from molrecon.data.randomness import make_generator
from molrecon.data.simulation.base import STREAM
from molrecon.data.simulation.batch import Batch
from molrecon.operators.base import LinearOperator, per_sample
from molrecon.reconstructors.start import estimated_sigma, sense_start


@dataclass(frozen=True)
class Split(Batch):
    """The samples of one scan, on a grid or along lines.

    ``image`` is the SENSE image of all its samples, whose peak is the unit of the others.
    """

    kspace: Tensor  # ``(1, coil, *samples)``, what an image is made of
    wanted: Tensor  # the same, what it is to predict
    coil_maps: Tensor
    weights: Tensor  # of the samples to predict, 0 where there is none
    # ``(1, 1, *spatial)``, an image to start from
    warm: Tensor | None = field(default=None, kw_only=True)
    targets: ClassVar[Mapping[str, str]] = {"left-out": "wanted"}

    @abstractmethod
    def predicted(self, estimate: Tensor) -> Tensor:
        """Return the samples of an image wherever ``weights`` are not zero."""

    @property
    def start(self) -> Tensor | None:
        """The image to start from."""
        return self.warm

    def compared(self, estimate: Tensor, target: str) -> tuple[Tensor, Tensor]:
        """Return predicted and measured samples, weighted so that mean squares are theirs."""
        factor = (self.weights / self.weights.mean()).sqrt()
        return factor * self.predicted(estimate), factor * self.target(target)

    def psnr(self, estimate: Tensor, target: str) -> float:
        """Return the PSNR of the predicted samples in dB, for an image of peak 1."""
        predicted, measured = self.compared(estimate, target)
        return float(-10 * torch.log10((predicted - measured).abs().square().mean()))


@torch.no_grad()
def in_units_of_peak(
    kspace: Tensor, A: LinearOperator, sigma: float | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return samples, their SENSE image and their noise level in units of the peak of the image.

    Parameters
    ----------
    kspace
        The samples, ``(1, coil, *samples)``.
    A
        Their operator.
    sigma
        Their noise level; estimated if None.
    """
    image, scale = sense_start(kspace, A)
    level = estimated_sigma(kspace, A, scale) if sigma is None else torch.full_like(scale, sigma)
    return kspace / per_sample(scale, kspace), image / per_sample(scale, image), level / scale


def recorrupted(
    kspace: Tensor, sigma: Tensor, noise: float, draw: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return samples in two independent noises, and the level of the first.

    With n noise as the samples y have it they are ``y + ηn`` and ``y − n/η`` (Pang et al.,
    recorrupted-to-recorrupted, CVPR 2021).

    Parameters
    ----------
    kspace
        The samples, ``(1, coil, *samples)``.
    sigma
        Their noise level, ``(1,)``.
    noise
        η, above 0.
    draw
        Number of the draw of n.
    """
    generator = make_generator(STREAM["training"], draw, kspace.numel())
    drawn = torch.randn(kspace.shape, generator=generator, dtype=kspace.dtype)
    drawn = per_sample(sigma, drawn) * drawn
    return kspace + noise * drawn, kspace - drawn / noise, sigma * (1 + noise**2) ** 0.5
