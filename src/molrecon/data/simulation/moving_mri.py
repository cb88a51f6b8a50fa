"""Simulated parallel MRI of images that are set in motion: series from slices."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from molrecon.data.mixed_images import MixedImages
from molrecon.data.motion import MARGIN, moving
from molrecon.data.randomness import make_generator
from molrecon.data.simulation.base import STREAM, Files, Pool
from molrecon.data.simulation.cine_mri import CineMRISimulation
from molrecon.data.simulation.parallel_mri import ParallelMRISimulation


class MovingImages(MixedImages):
    """Crops of slices and drawn images, in motion."""

    def check(self, size: tuple[int, ...]) -> None:
        """Refuse frames of ``(t, y, x)`` that are larger, with a margin, than every slice."""
        super().check(_around(size))

    def sample(self, size: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Draw a series ``(t, y, x)``, its peak between 0.5 and 1.2."""
        image = super().sample(_around(size), generator)
        return moving(image, size[0], generator)


class MovingMRISimulation(CineMRISimulation):
    """As `CineMRISimulation`, of slices and drawn images that are set in motion (`moving`)."""

    kind: Literal["moving-mri"] = "moving-mri"  # type: ignore[assignment]
    # Share of images that are drawn, see `molrecon.data.procedural`.
    procedural: float = Field(0.4, ge=0, le=1)

    def pool(self, files: Files) -> Pool:  # type: ignore[override]
        """Read volumes and stacks of slices, and add drawn images."""
        return MovingImages(files, procedural=self.procedural)

    def held_out(self, files: Files, count: int, size: tuple[int, ...]) -> list[Tensor]:
        """Return slices as `ParallelMRISimulation.held_out` does, in motion."""
        slices = ParallelMRISimulation().held_out(files, count, _around(size))
        return [
            moving(image, size[0], make_generator(STREAM["validation"], number))
            for number, image in enumerate(slices)
        ]


def _around(size: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n + 2 * MARGIN for n in size[1:])
