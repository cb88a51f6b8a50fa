"""Simulated multi-coil MRI of slices along spokes or spirals, to train on."""

from __future__ import annotations

import math
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from molrecon.data.randomness import choice, integer, uniform
from molrecon.data.simulation.along_lines import NonCartesianAcquisition, acquire_along
from molrecon.data.simulation.base import Count, Positive
from molrecon.data.simulation.batch import Batch
from molrecon.data.simulation.coil_mri import CoilMRISimulation
from molrecon.data.trajectories import (
    TRAJECTORY_KINDS,
    acceleration_of,
    complete_spokes,
    make_trajectory,
    require_spokes,
    turned,
)


class NonCartesianMRISimulation(CoilMRISimulation):
    """Crops of slices with phase, coil maps and noise, along lines; see `CoilMRISimulation`.

    The images of a batch share their lines, which are turned by a random angle.
    """

    kind: Literal["non-cartesian-mri"] = "non-cartesian-mri"
    # Kinds of `molrecon.make_trajectory` and the weights with which they are drawn.
    trajectories: dict[str, Positive] = Field(
        default={"radial": 0.4, "golden-angle": 0.3, "spiral": 0.3}, min_length=1
    )
    # How much wider lines lie at the edge of k-space than those of a complete scan, uniform.
    accelerations: tuple[Positive, Positive] = (2.0, 12.0)
    # Number of spokes, uniform, in place of ``accelerations``; spirals have none. Validation is at
    # its acceleration.
    spokes: tuple[Count, Count] | None = None

    batch_type: ClassVar[type[Batch]] = NonCartesianAcquisition

    @field_validator("trajectories")
    @classmethod
    def _known(cls, kinds: dict[str, float]) -> dict[str, float]:
        for kind in kinds:
            if kind not in TRAJECTORY_KINDS:
                raise ValueError(f"found {kind!r}, expected one of {', '.join(TRAJECTORY_KINDS)}")
        return kinds

    @model_validator(mode="after")
    def _lines_fit(self) -> Self:
        for kind in self.trajectories:
            make_trajectory(kind, self.size, self.accelerations[1])  # crops of one pixel have none
        if self.spokes is not None:
            require_spokes(self.trajectories)
            complete = complete_spokes(self.size)
            if not self.spokes[0] <= self.spokes[1] <= complete:
                raise ValueError(
                    f"spokes are {self.spokes[0]} to {self.spokes[1]}, expected rising numbers of "
                    f"at most {complete}, a complete scan of the crops; correct them"
                )
        return self

    def at(self, *, sigma: float, acceleration: float) -> Self:
        """Return the simulation at one noise level and acceleration."""
        found = super().at(sigma=sigma, acceleration=acceleration)
        return found.model_copy(update={"spokes": None})

    def simulate(self, images: Tensor, generator: torch.Generator) -> NonCartesianAcquisition:
        """Give real images ``(batch, 1, y, x)`` phase, maps, lines and noise, all at random."""
        shape = tuple(images.shape[2:])
        coils = integer(self.coils, generator)
        lines = self._draw_lines(shape, generator)
        drawn = [
            (*self._draw_object(image, coils, generator), *self._draw_knowledge(image, generator))
            for image in images[:, 0]
        ]
        shown, maps, sigma, support = map(torch.stack, zip(*drawn, strict=True))
        return acquire_along(shown, maps, lines, sigma, generator=generator, support=support)

    def _draw_lines(self, shape: tuple[int, ...], g: torch.Generator) -> Tensor:
        kind = choice(self.trajectories, g)
        if self.spokes is None:
            acceleration = uniform(self.accelerations, g)
        else:
            acceleration = acceleration_of(shape, integer(self.spokes, g))
        lines = make_trajectory(kind, shape, acceleration)
        return turned(lines, shape, uniform((0, 2 * math.pi), g))
