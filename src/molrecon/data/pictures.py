"""Natural pictures, and random training crops of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from molrecon.data.formats import read_image
from molrecon.data.randomness import integer
from molrecon.errors import InputError, shape_text


def read_picture(source: str | Path) -> Tensor:
    """Read one picture as float32 ``(y, x)``; files of 8 or 16 bits have values between 0 and 1.

    Colours are converted to luminance. A file of several pictures is refused.
    """
    image = read_image(str(source))
    if image.array.ndim != 2:
        raise InputError(
            f"The image {source} has shape {image.array.shape}, but one picture (y, x) was "
            "expected; choose a slice."
        )
    return torch.from_numpy(np.abs(image.array).astype(np.float32))


def read_pictures(files: Iterable[str | Path]) -> dict[str, Tensor]:
    """Read pictures, by the names of their files; there has to be one."""
    pictures = {str(path): read_picture(path) for path in files}
    if not pictures:
        raise InputError("pictures: the list of files is empty; name at least one.")
    return pictures


def whole_blocks(image: Tensor, factor: int) -> Tensor:
    """Cut bottom and right of an image ``(y, x)`` to multiples of a factor."""
    rows, columns = (n - n % factor for n in image.shape)
    return image[:rows, :columns]


def centre(image: Tensor, size: Sequence[int]) -> Tensor:
    """Cut the centre of an image along its leading axes; shorter axes stay as they are."""
    for axis, want in enumerate(size):
        have = image.shape[axis]
        image = image.narrow(axis, max(0, (have - want) // 2), min(have, want))
    return image


class PicturePool:
    """Pictures of files in memory, as float32, from which random training crops are drawn.

    Crops keep the picture's pixel values and pixel size. The peak of an image is taken out by every
    reconstructor; and at another pixel size edges are sharper than those a camera gives, which are
    what is to be restored.
    """

    def __init__(self, files: Iterable[str | Path]) -> None:
        pictures = read_pictures(files)
        self.pictures = list(pictures.values())
        self._smallest = min(pictures, key=lambda name: min(pictures[name].shape))
        self._side = min(pictures[self._smallest].shape)

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.pictures)

    def check(self, size: tuple[int, ...]) -> None:
        """Refuse crops ``(y, x)`` that are larger than a picture."""
        if max(size) > self._side:
            raise InputError(
                f"The picture {self._smallest} has a side of {self._side} pixels, fewer than the "
                f"crops of {shape_text(size)}; leave it out or take smaller crops."
            )

    def sample(self, size: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Draw a crop ``(y, x)`` of a picture, flipped and turned by quarters at random."""
        image = self.pictures[integer((0, len(self) - 1), generator)]
        # With the flips below, the transpose makes all quarter turns.
        if integer((0, 1), generator):
            image = image.T
        for axis, want in enumerate(size):
            image = image.narrow(axis, integer((0, image.shape[axis] - want), generator), want)
        for axis in (0, 1):
            if integer((0, 1), generator):
                image = image.flip(axis)
        return image.contiguous()
