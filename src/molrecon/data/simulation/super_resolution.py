"""Simulated super-resolution: pictures measured with fewer pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor

from molrecon.data.pictures import PicturePool, centre, read_pictures, whole_blocks
from molrecon.data.randomness import log_uniform
from molrecon.data.simulation.base import Count, Files, Positive, Simulation
from molrecon.data.simulation.batch import Batch
from molrecon.operators.base import per_sample
from molrecon.operators.super_resolution import SuperResolution


@dataclass(frozen=True)
class Decimation(Batch):
    """Real images and their noisy measurements with fewer pixels."""

    pixels: Tensor  # ``(batch, channel, *measured)``, the noisy measurements
    factor: int

    @property
    def y(self) -> Tensor:
        """The measured pixels."""
        return self.pixels

    @property
    def A(self) -> SuperResolution:  # noqa: N802 - the field's name
        """Bicubic blur and decimation."""
        return _operator(self.image, self.factor)


def decimate(
    image: Tensor, factor: int, sigma: Tensor, *, generator: torch.Generator
) -> Decimation:
    """Measure images: ``A image + noise`` with the `SuperResolution` operator A of a factor.

    Images are real ``(batch, channel, *spatial)``; sigma is that of the noise per measured pixel,
    ``(batch,)``.
    """
    y = _operator(image, factor)(image)
    noise = torch.randn(y.shape, dtype=y.dtype, generator=generator)
    return Decimation(image, sigma, y + per_sample(sigma.to(y.dtype), y) * noise, factor)


class SuperResolutionSimulation(Simulation):
    """Crops of pictures, blurred, decimated and with white noise; see `Simulation`."""

    kind: Literal["super-resolution"] = "super-resolution"
    size: tuple[Count, Count] = (96, 96)
    sigma: tuple[Positive, Positive] = (2e-3, 5e-2)
    # Decimation factor; crops are multiples of it, as the direct solve of the operator needs.
    factor: Count = 3

    batch_type: ClassVar[type[Batch]] = Decimation
    validation_size: ClassVar[tuple[int, ...]] = (240, 240)

    @model_validator(mode="after")
    def _whole_blocks(self) -> Self:
        if any(n % self.factor for n in self.size):
            raise ValueError(
                f"size: crops of {self.size[0]} × {self.size[1]} pixels are no multiples of the "
                f"factor {self.factor}"
            )
        return self

    def pool(self, files: Files) -> PicturePool:
        """Read pictures."""
        return PicturePool(files)

    def held_out(self, files: Files, count: int, size: tuple[int, ...]) -> list[Tensor]:
        """Return the centres of the first ``count`` pictures, cut to multiples of the factor."""
        pictures = list(read_pictures(list(files)[:count]).values())
        return [whole_blocks(centre(picture, size), self.factor) for picture in pictures]

    def simulate(self, images: Tensor, generator: torch.Generator) -> Decimation:
        """Measure images ``(batch, 1, y, x)``, each at a noise level of its own."""
        sigma = torch.tensor([log_uniform(self.sigma, generator) for _ in images])
        return decimate(images, self.factor, sigma, generator=generator)

    def batch(self, tensors: dict[str, Tensor]) -> Decimation:
        """Return the batch that has these `Batch.tensors`."""
        return Decimation(**tensors, factor=self.factor)


def _operator(image: Tensor, factor: int) -> SuperResolution:
    A = SuperResolution(image.shape[1:], factor, dtype=image.dtype)
    return A if image.device == A.device else A.to(image.device)
