"""Simulated parallel MRI of the widest variety: what one network for all scans is trained on."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from molrecon.data.coil_maps import combine_coils
from molrecon.data.masks import MASK_KINDS, make_mask
from molrecon.data.masks.partial_fourier import partial_fourier
from molrecon.data.mixed_images import MixedImages
from molrecon.data.phase import rough_phase, sign_jumps
from molrecon.data.randomness import choice, integer, log_uniform, make_generator, uniform
from molrecon.data.simulation.acquisition import Acquisition
from molrecon.data.simulation.base import STREAM, Count, Files, Pool, Positive
from molrecon.data.simulation.known_maps import calibrated_maps, roughened_maps
from molrecon.data.simulation.noise import add_noise
from molrecon.data.simulation.parallel_mri import ParallelMRISimulation
from molrecon.operators.fourier import fft_centred

Share = Annotated[float, Field(ge=0, le=1)]

MULTIPLE = 8
"""Sides of crops are multiples of it, which keeps the Fourier transforms fast."""
_MARGINS = (2, 8)
_KEPT = (0.6, 0.9)
"""Share of k-space that partial Fourier sampling keeps."""
_ROUGH, _DETAIL = (0.1, 0.7), (6.0, 40.0)
"""Standard deviation in radians of a rough phase, and its smallest wavelength in pixels."""


class VariedMRISimulation(ParallelMRISimulation):
    """Crops of all sizes, images of all kinds, and acquisitions of all kinds of them.

    Beyond `ParallelMRISimulation`: the sides of the crops are drawn for every batch, which has more
    images where they are small; images are in random contrasts, shaded, or drawn by a program; maps
    are smooth or rough, and known exactly or estimated from the calibration region; the phase is
    smooth or rough, with or without jumps of the sign; partial Fourier sampling.
    """

    kind: Literal["varied-mri"] = "varied-mri"  # type: ignore[assignment]
    size: tuple[Count, ...] = (64, 64)  # shortest sides of the crops
    # Longest sides of the crops; sides are log-uniform and multiples of 8.
    largest: tuple[Count, ...] = (256, 256)
    # Pixels of a batch, which sets its number of images; a single image may have up to twice as
    # many.
    pixels: Count = 32768
    coils: tuple[Count, Count] = (1, 32)  # coil count, log-uniform, one for the whole batch
    # Most pixels times coils of a batch: it bounds the coil count of large images.
    coil_pixels: Count = 400_000
    # Undersampling factor, log-uniform. At most 2 plus the coil count for points, and half of that
    # for lines, so that there is something to reconstruct.
    accelerations: tuple[Positive, Positive] = (1.0, 12.0)
    calibration: tuple[Count, Count] = (8, 32)
    sigma: tuple[Positive, Positive] = (1e-4, 0.15)
    mask_kinds: dict[str, Positive] = Field(
        default={"variable-density": 0.4, "equispaced": 0.4, "random": 0.1, "poisson-disc": 0.1},
        min_length=1,
    )
    procedural: Share = 0.25  # share of images that are drawn, see `molrecon.data.procedural`
    # Share of images whose maps are estimated from the calibration region.
    estimated_share: Share = 0.4
    rough_maps: Share = 0.3  # shares of images that have these
    rough_phase: Share = 0.3
    sign_jumps: Share = 0.15
    partial_fourier: Share = 0.15

    @model_validator(mode="after")
    def _sizes_in_order(self) -> Self:
        if len(self.largest) != len(self.size) or any(
            low > high for low, high in zip(self.size, self.largest, strict=True)
        ):
            raise ValueError(
                f"largest is {self.largest}, expected at least size = {self.size} along every axis"
            )
        return self

    def pool(self, files: Files) -> Pool:
        """Read volumes and stacks of slices, and add drawn images."""
        return MixedImages(files, procedural=self.procedural)

    def sample(self, pool: Pool, *, seed: int, step: int) -> Acquisition:
        """Draw a training batch that depends on ``(seed, step)`` alone."""
        generator = make_generator(STREAM["training"], seed, step)
        size = self._draw_size(generator)
        count = max(1, self.pixels // math.prod(size))
        images = [pool.sample(size, generator) for _ in range(count)]
        return self.simulate(torch.stack(images).unsqueeze(1), generator)

    def simulate(self, images: Tensor, generator: torch.Generator) -> Acquisition:
        """Measure real images ``(batch, 1, y, x)``; all else is drawn."""
        coils = round(log_uniform((self.coils[0], self.coils[1] + 0.5), generator))
        coils = max(1, min(coils, self.coil_pixels // images.numel()))
        drawn = [self._measure(image, coils, generator) for image in images[:, 0]]
        coil_images, kspace, known, masks, sigmas = map(torch.stack, zip(*drawn, strict=True))
        return Acquisition(
            # The noise-free image on the maps that are known: their faults are no part of it.
            image=(known.conj() * coil_images).sum(1, keepdim=True),
            sigma=sigmas,
            full_scan=combine_coils(kspace, known),
            kspace=kspace * masks,
            coil_maps=known,
            mask=masks,
        )

    def _draw_size(self, generator: torch.Generator) -> tuple[int, ...]:
        while True:
            sides = [
                log_uniform((low, high), generator)
                for low, high in zip(self.size, self.largest, strict=True)
            ]
            size = tuple(
                max(low, MULTIPLE * round(side / MULTIPLE))
                for low, side in zip(self.size, sides, strict=True)
            )
            if math.prod(size) <= max(2 * self.pixels, math.prod(self.size)):
                return size

    def _measure(self, image: Tensor, coils: int, g: torch.Generator) -> tuple[Tensor, ...]:
        """Return coil images, noisy k-space, known maps, mask and σ of one image ``(y, x)``."""
        shape = tuple(image.shape)
        maps = self._draw_maps(shape, coils, g)
        if coils > 1 and uniform((0, 1), g) < self.rough_maps:
            maps = roughened_maps(maps, g)
        coil_images = maps * (image * self._draw_whole_phase(image, g))
        sigma = torch.tensor(log_uniform(self.sigma, g))
        kspace = add_noise(fft_centred(coil_images, image.ndim), sigma, generator=g)
        mask, width = self._draw_varied_mask(shape, coils, g)
        if coils > 1 and uniform((0, 1), g) < self.estimated_share:
            known = calibrated_maps(kspace, width, integer(_MARGINS, g), g)
        else:
            known = maps * self._draw_support(image, g)
        return coil_images, kspace, known, mask[None], sigma

    def _draw_whole_phase(self, image: Tensor, g: torch.Generator) -> Tensor:
        shape = tuple(image.shape)
        phase = self._draw_phase(shape, uniform(self.phase, g), g)
        if uniform((0, 1), g) < self.rough_phase:
            strength, detail = uniform(_ROUGH, g), log_uniform(_DETAIL, g)
            phase = phase * rough_phase(shape, generator=g, strength=strength, detail=detail)
        if uniform((0, 1), g) < self.sign_jumps:
            phase = phase * sign_jumps(image, generator=g)
        return phase

    def _draw_varied_mask(
        self, shape: tuple[int, ...], coils: int, g: torch.Generator
    ) -> tuple[Tensor, int]:
        """Return a mask and the width of its calibration region."""
        kind = choice(self.mask_kinds, g)
        lines = MASK_KINDS[kind].axes is not None
        axis = integer((0, 1), g)
        axes = (axis,) if lines else (0, 1)
        low, high = self.accelerations
        most = min(high, (2.0 + coils) / 2 if lines else 2.0 + coils)
        acceleration = log_uniform((low, max(low, most)), g)
        samples = math.prod(shape[axis] for axis in axes) / acceleration
        fitting = max(1, int((0.5 * samples) ** (1 / len(axes))))
        width = min(integer(self.calibration, g), fitting)
        seed = integer((0, 2**31 - 2), g)
        mask = make_mask(kind, shape, acceleration, calibration=width, seed=seed, axes=axes)
        if uniform((0, 1), g) < self.partial_fourier:
            low_end = bool(integer((0, 1), g))
            mask = partial_fourier(mask, uniform(_KEPT, g), axis=axis, low_end=low_end)
        return mask, width
