"""What simulations of every problem have in common: endless batches and a fixed validation set."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, ClassVar, Protocol, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from molrecon.data.randomness import make_generator
from molrecon.data.simulation.batch import Batch
from molrecon.settings import Settings

STREAM = {"training": 0, "validation": 1, "masks": 2}
"""First word of the seed, so that equal seeds of different uses draw different numbers."""

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Files = Iterable[str | Path]


class Pool(Protocol):
    """Images in memory, from which training crops are drawn."""

    def check(self, size: tuple[int, ...], /) -> None:
        """Refuse crops that are larger than the images, by an `InputError`."""
        ...

    def sample(self, size: tuple[int, ...], generator: torch.Generator, /) -> Tensor:
        """Draw a real crop ``size``, by the generator alone."""
        ...


class Simulation(Settings, ABC):
    """What training batches of a problem are made of; pairs are the bounds of a random draw."""

    kind: str  # one of `molrecon.data.simulation.registry.SIMULATIONS`
    size: tuple[Count, ...]  # pixels of the crops along each axis
    batch_size: Count = 4  # images per batch
    # Noise per measured sample, log-uniform, relative to an image peak of 1.
    sigma: tuple[Positive, Positive] = (1e-3, 5e-2)

    axes: ClassVar[str] = "yx"  # the spatial axes by their letters
    batch_type: ClassVar[type[Batch]]  # what batches are
    validation_size: ClassVar[tuple[int, ...]]  # largest size of validation images
    pairs: ClassVar[tuple[str, ...]] = ("sigma",)

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        for name in self.pairs:
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: the lower bound {low} is above the upper one {high}")
        return self

    @abstractmethod
    def pool(self, files: Files) -> Pool:
        """Read the images to train on; there has to be a file."""

    @abstractmethod
    def held_out(self, files: Files, count: int, size: tuple[int, ...]) -> list[Tensor]:
        """Return a fixed list of real validation images ``(*spatial)``."""

    @abstractmethod
    def simulate(self, images: Tensor, generator: torch.Generator) -> Batch:
        """Measure real images ``(batch, 1, *spatial)``; all else is drawn."""

    def at(self, *, sigma: float, acceleration: float) -> Self:
        """Return the simulation at one noise level and, where k-space is sampled, acceleration."""
        return self.model_copy(update={"sigma": (sigma, sigma)})

    def batch(self, tensors: dict[str, Tensor]) -> Batch:
        """Return the batch that has these `Batch.tensors`."""
        return self.batch_type(**tensors)

    def sample(self, pool: Pool, *, seed: int, step: int) -> Batch:
        """Draw a training batch of images of a pool that depends on ``(seed, step)`` alone.

        Every image of the batch has its own crop, noise level and noise.
        """
        generator = make_generator(STREAM["training"], seed, step)
        images = [pool.sample(self.size, generator) for _ in range(self.batch_size)]
        return self.simulate(torch.stack(images).unsqueeze(1), generator)

    def validation(
        self, files: Files, *, seed: int, count: int, size: tuple[int, ...] | None = None
    ) -> list[Batch]:
        """Make a fixed list of ``count`` measurements of held-out images, in batches of one.

        The files are not used in training; the same seed gives the same list. ``size`` takes the
        place of ``validation_size``.
        """
        images = self.held_out(files, count, size or self.validation_size)
        return [
            self.simulate(image[None, None], make_generator(STREAM["validation"], seed, number))
            for number, image in enumerate(images)
        ]
