"""Simulated parallel MRI: undersampled multi-coil scans of slices."""

from __future__ import annotations

import functools
import math
from typing import Annotated, ClassVar, Literal, Self, cast

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from molrecon.data.images import ImagePool
from molrecon.data.masks import MASK_KINDS, MaskKind, make_mask
from molrecon.data.phase import simulate_phase
from molrecon.data.randomness import integer, log_uniform, make_generator, uniform
from molrecon.data.resampling import fourier_resample
from molrecon.data.simulation.acquisition import Acquisition, acquire
from molrecon.data.simulation.base import STREAM, Count, Files, Pool, Positive, Simulation
from molrecon.data.simulation.batch import Batch
from molrecon.data.simulation.coil_maps import simulate_coil_maps
from molrecon.data.simulation.growth import grown
from molrecon.data.slices import SIGNAL
from molrecon.errors import shape_text

_MARGINS = (2, 8)
"""Pixels by which estimated coil maps reach beyond the object."""


class ParallelMRISimulation(Simulation):
    """Crops of slices with phase, coil maps, masks and noise; see `Simulation`.

    Every image of a batch has its own phase, maps, mask, acceleration and noise; the coil count is
    shared.
    """

    kind: Literal["parallel-mri"] = "parallel-mri"
    size: tuple[Count, ...] = (128, 128)
    coils: tuple[Count, Count] = (4, 16)  # coil count, one for the whole batch
    accelerations: tuple[Positive, Positive] = (2.0, 8.0)  # undersampling factor, uniform
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
    # Strength of the smooth phase, uniform; see `simulate_phase`.
    phase: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]] = (0.0, 1.5)
    # Share of images whose maps are zero away from the object, as estimated maps are.
    support_share: Annotated[float, Field(ge=0, le=1)] = 0.6

    batch_type: ClassVar[type[Batch]] = Acquisition
    # The undersampled axes; by default those of the kind of mask.
    mask_axes: ClassVar[tuple[int, ...] | None] = None
    validation_size: ClassVar[tuple[int, ...]] = (200, 170)
    pairs: ClassVar[tuple[str, ...]] = ("coils", "accelerations", "calibration", "sigma", "phase")

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
    def _undersampled(self) -> Self:
        if self.accelerations[0] < 1:
            raise ValueError(f"accelerations start at {self.accelerations[0]}; give at least 1")
        if len(self.size) != len(self.axes):
            raise ValueError(
                f"size: found {len(self.size)} numbers, expected {len(self.axes)}: pixels along "
                f"{', '.join(self.axes)}"
            )
        # Frames are no axis of k-space.
        encoded = self.size[len(self.axes.rstrip("zyx")) :]
        if self.calibration[1] > min(encoded):
            raise ValueError(
                f"calibration: a region of {self.calibration[1]} lines is larger than the crops of "
                f"{shape_text(encoded)} pixels; give less"
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

    def simulate(self, images: Tensor, generator: torch.Generator) -> Acquisition:
        """Give real images ``(batch, 1, *spatial)`` phase, maps, masks and noise, all at random."""
        spatial = tuple(images.shape[2:])
        coils = integer(self.coils, generator)
        phases, maps, masks, sigmas, supports = [], [], [], [], []
        for image in images[:, 0]:
            strength = uniform(self.phase, generator)
            phases.append(self._draw_phase(spatial, strength, generator))
            maps.append(self._draw_maps(spatial, coils, generator))
            masks.append(_draw_mask(spatial, self, generator))
            sigmas.append(log_uniform(self.sigma, generator))
            supports.append(self._draw_support(image, generator))
        return acquire(
            images * torch.stack(phases).unsqueeze(1),
            torch.stack(maps),
            torch.stack(masks).unsqueeze(1),
            torch.tensor(sigmas),
            generator=generator,
            support=torch.stack(supports).unsqueeze(1),
            kind=cast(type[Acquisition], self.batch_type),
        )

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


def _draw_mask(
    shape: tuple[int, ...], config: ParallelMRISimulation, generator: torch.Generator
) -> Tensor:
    kinds = list(config.mask_kinds)
    weights = torch.tensor(list(config.mask_kinds.values()), dtype=torch.float64)
    kind = kinds[int(torch.multinomial(weights, 1, generator=generator).item())]
    number = integer((0, config.masks_per_kind - 1), generator)
    axes = config.mask_axes or MASK_KINDS[kind].axes or tuple(range(len(shape)))
    return _library_mask(kind, shape, config.accelerations, config.calibration, number, axes)


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
