"""Simulated parallel MRI: undersampled multi-coil scans of slices."""

from __future__ import annotations

import functools
import math
from typing import ClassVar, Literal, Self, cast

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from molrecon.data.masks import MASK_KINDS, MaskKind, make_mask
from molrecon.data.randomness import choice, integer, make_generator, uniform
from molrecon.data.simulation.acquisition import Acquisition, acquire
from molrecon.data.simulation.base import STREAM, Count, Positive
from molrecon.data.simulation.batch import Batch
from molrecon.data.simulation.coil_mri import CoilMRISimulation
from molrecon.errors import shape_text


class ParallelMRISimulation(CoilMRISimulation):
    """Crops of slices with phase, coil maps, masks and noise; see `CoilMRISimulation`.

    Every image of a batch has its own mask and acceleration too.
    """

    kind: Literal["parallel-mri"] = "parallel-mri"
    # Kinds of `molrecon.data.masks.make_mask` and the weights with which they are drawn.
    mask_kinds: dict[str, Positive] = Field(
        default={"variable-density": 0.6, "poisson-disc": 0.2, "equispaced": 0.1, "random": 0.1},
        min_length=1,
    )
    # Size of the fully sampled centre, at most that of the crops; reduced where it would take more
    # than half of the samples.
    calibration: tuple[Count, Count] = (12, 28)
    # Number of different masks of each kind; each has its own acceleration and calibration.
    masks_per_kind: Count = 256

    batch_type: ClassVar[type[Batch]] = Acquisition
    # The undersampled axes; by default those of the kind of mask.
    mask_axes: ClassVar[tuple[int, ...] | None] = None
    pairs: ClassVar[tuple[str, ...]] = (*CoilMRISimulation.pairs, "calibration")

    @field_validator("mask_kinds")
    @classmethod
    def _known(cls, kinds: dict[str, float]) -> dict[str, float]:
        known = sorted(name for name, kind in MASK_KINDS.items() if cls.suits(kind))
        for kind in kinds:
            if kind not in known:
                raise ValueError(f"found {kind!r}, expected one of {', '.join(known)}")
        return kinds

    @classmethod
    def suits(cls, kind: MaskKind) -> bool:
        """Whether a kind of mask is one for such images."""
        return not kind.frames

    @model_validator(mode="after")
    def _calibration_fits(self) -> Self:
        # Frames are no axis of k-space.
        encoded = self.size[len(self.axes.rstrip("zyx")) :]
        if self.calibration[1] > min(encoded):
            raise ValueError(
                f"calibration: a region of {self.calibration[1]} lines is larger than the crops of "
                f"{shape_text(encoded)} pixels; give less"
            )
        return self

    def simulate(self, images: Tensor, generator: torch.Generator) -> Acquisition:
        """Give real images ``(batch, 1, *spatial)`` phase, maps, masks and noise, all at random."""
        coils = integer(self.coils, generator)
        drawn = []
        for image in images[:, 0]:
            shown, maps = self._draw_object(image, coils, generator)
            mask = self._draw_mask(tuple(image.shape), generator)
            drawn.append((shown, maps, mask, *self._draw_knowledge(image, generator)))
        shown, maps, mask, sigma, support = map(torch.stack, zip(*drawn, strict=True))
        kind = cast(type[Acquisition], self.batch_type)
        return acquire(shown, maps, mask, sigma, generator=generator, support=support, kind=kind)

    def _draw_mask(self, shape: tuple[int, ...], g: torch.Generator) -> Tensor:
        """Return a mask ``(1, *spatial)``."""
        kind = choice(self.mask_kinds, g)
        number = integer((0, self.masks_per_kind - 1), g)
        axes = self.mask_axes or MASK_KINDS[kind].axes or tuple(range(len(shape)))
        found = _library_mask(kind, shape, self.accelerations, self.calibration, number, axes)
        return found[None]


@functools.lru_cache(maxsize=2048)
def _library_mask(
    kind: str,
    shape: tuple[int, ...],
    accelerations: tuple[float, float],
    calibrations: tuple[int, int],
    number: int,
    axes: tuple[int, ...],
) -> Tensor:
    """Return the mask of that number, a function of the arguments alone.

    A bounded library, because some kinds take longer to draw than a training step.
    """
    generator = make_generator(STREAM["masks"], number)
    acceleration = uniform(accelerations, generator)
    calibration = integer(calibrations, generator)
    encoded = MASK_KINDS[kind].encoded([shape[axis] for axis in axes])
    samples = math.prod(encoded) / acceleration
    fitting = max(1, int((0.5 * samples) ** (1 / len(encoded))))
    width = min(calibration, fitting)
    return make_mask(kind, shape, acceleration, calibration=width, seed=number, axes=axes)
