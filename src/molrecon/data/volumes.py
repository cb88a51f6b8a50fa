"""Random training crops of volumes, and of series of frames."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from molrecon.data.crops import draw_showing, draw_window, require_room, varied_crop, with_margins
from molrecon.data.phase import simulate_shading
from molrecon.data.randomness import integer, log_uniform, uniform
from molrecon.data.slices import SliceStack, load_slices
from molrecon.errors import InputError

USUAL_SIZE = 128
"""Voxels along the longest axis of a head scanned in three dimensions, at about 2 mm.

It also averages the noise out that images of higher resolution have of their own: a network that is
to reproduce noise learns to keep it.
"""
GAMMAS = (0.7, 1.8)
SHADING = 2.0
"""Largest logarithm of the shading; fat beside a surface coil is several times as bright as the
brain."""


def load_volumes(files: Iterable[str | Path], **options: Any) -> list[SliceStack]:
    """Read volumes, or series of frames, each as a whole: `SliceStack.volume`, its peak 1.

    Arrays have three axes, also ``(t, y, x)``; the options are ``minimum_signal`` and
    ``usual_size`` of `load_slices`.
    """
    stacks = [stack for path in files for stack in load_slices(path, orientations=(0,), **options)]
    if not stacks:
        raise InputError("images: the list of files is empty; name at least one.")
    return stacks


class VolumePool:
    """Volumes of files in memory, as float32, from which crops are drawn in any orientation."""

    def __init__(self, files: Iterable[str | Path]) -> None:
        self.stacks = load_volumes(files, usual_size=USUAL_SIZE)
        sizes = torch.tensor([stack.volume.shape[0] for stack in self.stacks])
        self._weights = sizes.double() ** (1 / 3)

    def check(self, size: tuple[int, ...]) -> None:
        """Refuse crops that are larger than every volume, turned and enlarged."""
        require_room(size, [(s.volume.shape, s.scales[1]) for s in self.stacks], "volumes")

    def sample(self, size: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Draw a crop ``(z, y, x)`` of a random volume, turned, resampled, flipped and rescaled.

        Scales are log-uniform within `SliceStack.scales`, an exponent changes the contrast, and the
        image is shaded as by a surface coil. Where the volume ends, zeros follow; values may be
        slightly negative beside sharp edges.
        """
        shape = with_margins(size)
        orders = list(permutations(range(3)))

        def draw() -> Tensor:
            number = int(torch.multinomial(self._weights, 1, generator=generator).item())
            stack = self.stacks[number]
            volume = stack.volume.permute(*orders[integer((0, len(orders) - 1), generator)])
            return draw_window(volume, shape, log_uniform(stack.scales, generator), generator)

        crop = varied_crop(draw_showing(draw, generator), shape, generator, gammas=GAMMAS)
        strength = uniform((0, SHADING), generator)
        return crop * simulate_shading(crop.shape, generator=generator, strength=strength)


class SeriesPool:
    """Series of frames ``(t, y, x)`` in memory, as float32, from which random crops are drawn.

    Frames keep their distance in time; the order may be reversed.
    """

    def __init__(self, files: Iterable[str | Path]) -> None:
        self.stacks = load_volumes(files)

    def check(self, size: tuple[int, ...]) -> None:
        """Refuse crops ``(t, y, x)`` of more frames than any series, or larger than all."""
        require_room(
            size,
            [(s.volume.shape, s.scales[1]) for s in self.stacks],
            "series (frames first)",
            fixed=1,
        )

    def sample(self, size: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Draw successive frames ``(t, y, x)`` of a random series, cropped and varied alike."""
        shape = with_margins(size[1:])
        long_enough = [stack for stack in self.stacks if len(stack.volume) >= size[0]]

        def draw() -> Tensor:
            stack = long_enough[integer((0, len(long_enough) - 1), generator)]
            first = integer((0, len(stack.volume) - size[0]), generator)
            frames = stack.volume[first : first + size[0]]
            if integer((0, 1), generator):
                frames = frames.mT
            return draw_window(frames, shape, log_uniform(stack.scales, generator), generator)

        return varied_crop(draw_showing(draw, generator), shape, generator)
