"""What simulations of multi-coil MRI have in common, however k-space is sampled."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from molrecon.data.images import ImagePool
from molrecon.data.phase import simulate_phase
from molrecon.data.randomness import integer, log_uniform, uniform
from molrecon.data.resampling import fourier_resample
from molrecon.data.simulation.base import Count, Files, Pool, Positive, Simulation
from molrecon.data.simulation.coil_maps import simulate_coil_maps
from molrecon.data.simulation.growth import grown
from molrecon.data.slices import SIGNAL

_MARGINS = (2, 8)
"""Pixels by which estimated coil maps reach beyond the object."""


class CoilMRISimulation(Simulation):
    """Crops of slices with phase, coil maps and noise; see `Simulation`.

    Every image of a batch has its own phase, maps and noise; the coil count is shared.
    """

    size: tuple[Count, ...] = (128, 128)
    coils: tuple[Count, Count] = (4, 16)  # coil count, one for the whole batch
    accelerations: tuple[Positive, Positive] = (2.0, 8.0)  # undersampling factor, uniform
    # Strength of the smooth phase, uniform; see `simulate_phase`.
    phase: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]] = (0.0, 1.5)
    # Share of images whose maps are zero away from the object, as estimated maps are.
    support_share: Annotated[float, Field(ge=0, le=1)] = 0.6

    validation_size: ClassVar[tuple[int, ...]] = (200, 170)
    pairs: ClassVar[tuple[str, ...]] = ("coils", "accelerations", "sigma", "phase")

    @model_validator(mode="after")
    def _undersampled(self) -> Self:
        if self.accelerations[0] < 1:
            raise ValueError(f"accelerations start at {self.accelerations[0]}; give at least 1")
        if len(self.size) != len(self.axes):
            raise ValueError(
                f"size: found {len(self.size)} numbers, expected {len(self.axes)}: pixels along "
                f"{', '.join(self.axes)}"
            )
        return self

    def pool(self, files: Files) -> Pool:
        """Read volumes and stacks of slices."""
        return ImagePool(files)

    def held_out(self, files: Files, count: int, size: tuple[int, ...]) -> list[Tensor]:
        """Return whole slices, whose 99.9th percentile before padding is 1.

        They are taken in turn from the stacks of all files, spread over the middle three fifths of
        each, turned upright, shrunk to fit into ``size`` and padded with zeros.
        """
        pool = ImagePool(files)
        images = []
        rounds = -(-count // len(pool.stacks))
        for number in range(count):
            turn, stack = divmod(number, len(pool.stacks))
            position = 0.2 + 0.6 * (turn + 0.5) / rounds
            image = pool.slice(pool.first(stack) + int(position * len(pool.stacks[stack].indices)))
            images.append(fitted(image, size))
        return images

    def at(self, *, sigma: float, acceleration: float) -> Self:
        """Return the simulation at one noise level and acceleration."""
        at_sigma = super().at(sigma=sigma, acceleration=acceleration)
        return at_sigma.model_copy(update={"accelerations": (acceleration, acceleration)})

    def _draw_object(self, image: Tensor, coils: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return an image ``(*spatial)`` with a phase, ``(1, *spatial)``, and coil maps."""
        shape = tuple(image.shape)
        phase = self._draw_phase(shape, uniform(self.phase, g), g)
        return (image * phase)[None], self._draw_maps(shape, coils, g)

    def _draw_knowledge(self, image: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the noise level of an image, and where its maps are known, ``(1, *spatial)``."""
        sigma = torch.tensor(log_uniform(self.sigma, g))
        return sigma, self._draw_support(image, g)[None]

    def _draw_phase(self, shape: tuple[int, ...], strength: float, g: torch.Generator) -> Tensor:
        return simulate_phase(shape, generator=g, strength=strength)

    def _draw_maps(self, shape: tuple[int, ...], coils: int, g: torch.Generator) -> Tensor:
        return simulate_coil_maps(shape, coils, generator=g)

    def _draw_support(self, image: Tensor, g: torch.Generator) -> Tensor:
        """Draw where maps are known: around the object, or everywhere."""
        margin = integer(_MARGINS, g)
        if uniform((0, 1), g) >= self.support_share:
            return torch.ones_like(image, dtype=torch.bool)
        # Of an empty image it is everything, or there would be nothing to measure.
        return grown(image >= SIGNAL * image.max(), margin)


def fitted(image: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Fit images ``(..., y, x)`` into ``shape``: turned alike, shrunk, padded with zeros."""
    if (image.shape[-2] < image.shape[-1]) != (shape[0] < shape[1]):
        image = image.mT.flip(-2)
    ratio = min(1.0, *(want / have for want, have in zip(shape, image.shape[-2:], strict=True)))
    rows, columns = (max(1, round(ratio * n)) for n in image.shape[-2:])
    padded = image.new_zeros(*image.shape[:-2], *shape)
    top, left = (shape[0] - rows) // 2, (shape[1] - columns) // 2
    inside = (..., slice(top, top + rows), slice(left, left + columns))
    padded[inside] = fourier_resample(image, (rows, columns))
    return padded
