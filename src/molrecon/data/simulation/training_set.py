"""Endless simulated training batches and a fixed validation set."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from molrecon.data.images import ImagePool
from molrecon.data.masks import MASK_KINDS, make_mask
from molrecon.data.simulation.acquisition import Acquisition, acquire
from molrecon.data.simulation.coil_maps import simulate_coil_maps
from molrecon.data.simulation.phase import simulate_phase
from molrecon.data.simulation.randomness import integer, log_uniform, make_generator, uniform
from molrecon.data.simulation.resampling import fourier_resample
from molrecon.data.slices import SIGNAL
from molrecon.errors import InputError

_STREAM = {"training": 0, "validation": 1, "masks": 2}
"""First word of the seed, so that equal seeds of different uses draw different numbers."""

_MARGINS = (2, 8)
"""Pixels by which estimated coil maps reach beyond the object."""

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class SimulationConfig(BaseModel):
    """What training batches are made of; pairs are the bounds of a random draw.

    Attributes
    ----------
    size
        Rows and columns of the crops.
    batch_size
        Images per batch.
    coils
        Coil count, one for the whole batch.
    accelerations
        Undersampling factor, uniform.
    mask_kinds
        Kinds of `molrecon.data.masks.make_mask` and the weights with which they are drawn.
    calibration
        Size of the fully sampled centre; reduced where it would take more than half of the
        samples.
    masks_per_kind
        Number of different masks of each kind; each has its own acceleration and calibration.
    sigma
        Noise per complex k-space sample, log-uniform, relative to an image peak of 1.
    phase
        Strength of the smooth phase, uniform; see `simulate_phase`.
    support_share
        Share of images whose maps are zero away from the object, as estimated maps are.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: tuple[Count, Count] = (128, 128)
    batch_size: Count = 4
    coils: tuple[Count, Count] = (4, 16)
    accelerations: tuple[Positive, Positive] = (2.0, 8.0)
    mask_kinds: dict[str, Positive] = Field(
        default={"variable-density": 0.6, "poisson-disc": 0.2, "equispaced": 0.1, "random": 0.1},
        min_length=1,
    )
    calibration: tuple[Count, Count] = (12, 28)
    masks_per_kind: Count = 256
    sigma: tuple[Positive, Positive] = (1e-3, 5e-2)
    phase: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]] = (0.0, 1.5)
    support_share: Annotated[float, Field(ge=0, le=1)] = 0.6

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        for name in ("coils", "accelerations", "calibration", "sigma", "phase"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: the lower bound {low} is above the upper one {high}")
        if self.accelerations[0] < 1:
            raise ValueError(f"accelerations start at {self.accelerations[0]}; give at least 1")
        return self


def sample_batch(pool: ImagePool, config: SimulationConfig, *, seed: int, step: int) -> Acquisition:
    """Draw a training batch that depends on ``(seed, step)`` alone.

    Every image of the batch has its own crop, phase, maps, mask, acceleration and noise; the coil
    count is shared.

    Parameters
    ----------
    pool
        Where images come from.
    config
        What is drawn.
    seed, step
        Non-negative; the same pair gives the same batch, whatever was drawn before.
    """
    generator = make_generator(_STREAM["training"], seed, step)
    images = [pool.sample(config.size, generator) for _ in range(config.batch_size)]
    return _simulate(torch.stack(images).unsqueeze(1), config, generator)


def validation_set(
    files: Iterable[str | Path],
    config: SimulationConfig,
    *,
    seed: int,
    count: int = 12,
    shape: tuple[int, int] = (200, 170),
) -> list[Acquisition]:
    """Make a fixed list of acquisitions of whole slices, for held-out subjects.

    Slices are taken in turn from the stacks of all files, spread over the middle three fifths of
    each, turned upright, shrunk to fit into ``shape`` and padded with zeros.

    Parameters
    ----------
    files
        Files as in `molrecon.data.images.load_slices`, of subjects not used in training.
    config
        Coils, accelerations, masks, phase and noise; ``size`` and ``batch_size`` are not used.
    seed
        Non-negative; the same seed gives the same list.
    count
        Length of the list.
    shape
        Rows and columns of the images.

    Returns
    -------
    list of Acquisition
        Each of one image, whose 99.9th percentile before padding is 1.
    """
    pool = ImagePool(files)
    acquisitions = []
    rounds = -(-count // len(pool.stacks))
    for number in range(count):
        turn, stack = divmod(number, len(pool.stacks))
        generator = make_generator(_STREAM["validation"], seed, number)
        position = 0.2 + 0.6 * (turn + 0.5) / rounds
        image = pool.slice(pool.first(stack) + int(position * len(pool.stacks[stack].indices)))
        whole = _fitted(image, shape)[None, None]
        acquisitions.append(_simulate(whole, config, generator))
    return acquisitions


def _fitted(image: Tensor, shape: tuple[int, int]) -> Tensor:
    """Turn to the orientation of ``shape``, shrink to fit, and pad with zeros about the centre."""
    if (image.shape[0] < image.shape[1]) != (shape[0] < shape[1]):
        image = image.T.flip(0)
    ratio = min(1.0, *(want / have for want, have in zip(shape, image.shape, strict=True)))
    rows, columns = (max(1, round(ratio * n)) for n in image.shape)
    fitted = image.new_zeros(shape)
    top, left = (shape[0] - rows) // 2, (shape[1] - columns) // 2
    fitted[top : top + rows, left : left + columns] = fourier_resample(image, (rows, columns))
    return fitted


def _simulate(images: Tensor, config: SimulationConfig, generator: torch.Generator) -> Acquisition:
    """Give real images ``(batch, 1, y, x)`` phase, maps, masks and noise, all at random."""
    spatial = tuple(images.shape[2:])
    coils = integer(config.coils, generator)
    phases, maps, masks, sigmas, supports = [], [], [], [], []
    for image in images[:, 0]:
        strength = uniform(config.phase, generator)
        phases.append(simulate_phase(spatial, generator=generator, strength=strength))
        maps.append(simulate_coil_maps(spatial, coils, generator=generator))
        masks.append(_draw_mask(spatial, config, generator))
        sigmas.append(log_uniform(config.sigma, generator))
        supports.append(_draw_support(image, config.support_share, generator))
    return acquire(
        images * torch.stack(phases).unsqueeze(1),
        torch.stack(maps),
        torch.stack(masks).unsqueeze(1),
        torch.tensor(sigmas),
        generator=generator,
        support=torch.stack(supports).unsqueeze(1),
    )


def _draw_support(image: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Draw where maps are known: around the object, or everywhere."""
    margin = integer(_MARGINS, generator)
    if uniform((0, 1), generator) >= share:
        return torch.ones_like(image, dtype=torch.bool)
    signal = (image > SIGNAL * image.max()).float()[None]
    grown = torch.nn.functional.max_pool2d(signal, 2 * margin + 1, stride=1, padding=margin)
    return grown[0] > 0


def _draw_mask(
    shape: tuple[int, ...], config: SimulationConfig, generator: torch.Generator
) -> Tensor:
    kinds = list(config.mask_kinds)
    weights = torch.tensor(list(config.mask_kinds.values()), dtype=torch.float64)
    kind = kinds[int(torch.multinomial(weights, 1, generator=generator).item())]
    number = integer((0, config.masks_per_kind - 1), generator)
    return _library_mask(kind, shape, config.accelerations, config.calibration, number)


@functools.lru_cache(maxsize=2048)
def _library_mask(
    kind: str,
    shape: tuple[int, ...],
    accelerations: tuple[float, float],
    calibrations: tuple[int, int],
    number: int,
) -> Tensor:
    """Return the mask of that number, a function of the arguments alone.

    A bounded library, because some kinds take longer to draw than a training step.
    """
    if kind not in MASK_KINDS:
        raise InputError(
            f"mask_kinds: found {kind!r}, expected one of {', '.join(sorted(MASK_KINDS))}."
        )
    generator = make_generator(_STREAM["masks"], number)
    acceleration = uniform(accelerations, generator)
    calibration = integer(calibrations, generator)
    axes = MASK_KINDS[kind].axes or range(len(shape))
    samples = math.prod(shape[axis] for axis in axes) / acceleration
    fitting = max(1, int((0.5 * samples) ** (1 / len(axes))))
    return make_mask(kind, shape, acceleration, calibration=min(calibration, fitting), seed=number)
