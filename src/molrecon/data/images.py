"""Random training images cut from volumes and stacks of slices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from molrecon.data.crops import (
    AMPLITUDES,
    EMPTY_SHARE,
    GAMMAS,
    draw_showing,
    draw_window,
    require_room,
    varied_crop,
    with_margins,
)
from molrecon.data.randomness import integer, log_uniform
from molrecon.data.slices import load_slices, peak_value
from molrecon.errors import InputError


class ImagePool:
    """Images from several files, from which random training crops are drawn.

    Volumes stay in memory once, as float32; slices are views of them.

    Parameters
    ----------
    files
        Image files of any format, see `load_slices`. Held-out subjects are those whose files are
        not given.
    orientations
        Axes along which volumes are cut.
    balance
        A stack of n slices is drawn with probability proportional to ``n ** balance``: at 1 every
        slice is alike, at 0 every stack. In between, one large volume does not crowd out the
        contrasts of which there are few slices.

    Raises
    ------
    InputError
        If no file is given or one cannot be read.
    """

    def __init__(
        self,
        files: Iterable[str | Path],
        *,
        orientations: Sequence[int] = (0, 1, 2),
        balance: float = 1 / 3,
    ) -> None:
        self.stacks = [
            stack for path in files for stack in load_slices(path, orientations=orientations)
        ]
        if not self.stacks:
            raise InputError("images: the list of files is empty; name at least one.")
        sizes = torch.tensor([len(stack.indices) for stack in self.stacks])
        self._ends = sizes.cumsum(0)
        self._weights = sizes.double() ** balance
        self._peaks: dict[tuple[int, int], float] = {}

    def __len__(self) -> int:
        """Return the number of slices."""
        return int(self._ends[-1])

    def slice(self, i: int) -> Tensor:
        """Return slice ``i`` of all stacks, float32 ``(y, x)``, with a 99.9th percentile of 1."""
        if not 0 <= i < len(self):
            raise IndexError(f"slice {i} of a pool of {len(self)}")
        stack = int(torch.searchsorted(self._ends, i, right=True))
        place = i - self.first(stack)
        return self.stacks[stack].slice(place) / self._peak(stack, place)

    def first(self, stack: int) -> int:
        """Return the number, as in `slice`, of the first slice of a stack."""
        return int(self._ends[stack]) - len(self.stacks[stack].indices)

    def check(self, size: tuple[int, ...]) -> None:
        """Refuse crops ``(y, x)`` that are larger than every image in `sample`."""
        require_room(size, [(s.slice(0).shape, s.scales[1]) for s in self.stacks], "images")

    def sample(
        self,
        size: tuple[int, ...],
        generator: torch.Generator,
        *,
        gammas: tuple[float, float] = GAMMAS,
        amplitudes: tuple[float, float] = AMPLITUDES,
        empty_share: float = EMPTY_SHARE,
    ) -> Tensor:
        """Draw a random crop of a random slice, resampled, flipped, turned and rescaled.

        Scales are log-uniform within `SliceStack.scales`. Resampling crops k-space, so shrinking
        cannot alias and edges ring as measured ones do; values may be slightly negative beside
        sharp edges. Where the slice ends, zeros follow.

        Parameters
        ----------
        size
            Rows and columns of the crop.
        gammas
            Range of the exponent applied to the values, log-uniform.
        amplitudes
            Range of the peak of the whole slice, whose 99.9th percentile counts as its peak.
        empty_share
            Probability with which a crop that shows next to nothing is kept; else another is drawn.
        """
        shape = with_margins(size)

        def draw() -> Tensor:
            number = int(torch.multinomial(self._weights, 1, generator=generator).item())
            stack = self.stacks[number]
            index = integer((0, len(stack.indices) - 1), generator)
            image = stack.slice(index)
            # With the flips of a crop, the transpose makes all quarter turns.
            if integer((0, 1), generator):
                image = image.T
            window = draw_window(image, shape, log_uniform(stack.scales, generator), generator)
            return window / self._peak(number, index)

        window = draw_showing(draw, generator, empty_share=empty_share)
        return varied_crop(window, shape, generator, gammas=gammas, amplitudes=amplitudes)

    def _peak(self, stack: int, index: int) -> float:
        key = (stack, index)
        if key not in self._peaks:
            self._peaks[key] = peak_value(self.stacks[stack].slice(index))
        return self._peaks[key]
