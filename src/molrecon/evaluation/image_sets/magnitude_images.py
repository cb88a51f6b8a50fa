"""Magnitude images of any file, one by one, of peak 1."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from molrecon.data.arrays import Array
from molrecon.data.axial import axial_axis
from molrecon.data.formats import read_images
from molrecon.data.formats.image_data import ImageData
from molrecon.data.resampling import fourier_resample
from molrecon.data.slices import SIGNAL, peak_value
from molrecon.errors import InputError

_LEAST_SIGNAL = 0.08
"""Slices with a smaller share of pixels above a tenth of the peak are left out."""


@dataclass(frozen=True, eq=False)
class MagnitudeImage:
    """An image or volume."""

    stack: str  # the contrast, volume or file it belongs to
    part: str  # names the image within its file
    values: Tensor  # float32 ``(y, x)`` or ``(z, y, x)``, 99.9th percentile 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels along each axis."""
        return tuple(self.values.shape)


def read_magnitudes(
    source: str, *, dimensions: int, longest: int | None = None
) -> list[MagnitudeImage]:
    """Read a file into volumes, or into pictures and axial slices that show an object.

    The ``dimensions`` are 3 or 2. ``longest`` is the number of pixels of the longest side of
    two-dimensional images after resampling by their k-space. Of an ``.npz`` without a key every
    array is read.
    """
    found = []
    for key, image in read_images(source).items():
        found += _READERS[dimensions](image, key, source)
    if longest is not None and dimensions == 2:
        found = [replace(one, values=_resampled(one.values, longest)) for one in found]
    if not found:
        raise InputError(f"{source}: no slice shows enough signal; give images of an object.")
    return [replace(one, values=one.values / peak_value(one.values)) for one in found]


def _slices(image: ImageData, key: str, source: str) -> list[MagnitudeImage]:
    array = np.abs(image.array).astype(np.float32)
    axis = axial_axis(image) if image.axes == ("z", "y", "x") else 0
    stack = array[None] if array.ndim == 2 else np.moveaxis(array, axis, 0)
    stack = stack.reshape(-1, *stack.shape[-2:])
    peak = peak_value(torch.from_numpy(np.ascontiguousarray(stack)))
    # Of a stack the empty ends are left out; a single picture is what was asked for.
    shown = [n for n, one in enumerate(stack) if (one > SIGNAL * peak).mean() >= _LEAST_SIGNAL]
    chosen = [0] if len(stack) == 1 else shown
    return _images(stack, chosen, key, "slice")


def _volumes(image: ImageData, key: str, source: str) -> list[MagnitudeImage]:
    if image.ndim != 3:
        raise InputError(
            f"The image {source} has {image.ndim} spatial axes, but volumes were expected; give "
            "volumes, or set dimensions to 2."
        )
    array = np.abs(image.array).astype(np.float32)
    stack = array.reshape(-1, *array.shape[-3:])
    return _images(stack, range(len(stack)), key, "volume")


def _images(stack: Array, numbers: Iterable[int], key: str, what: str) -> list[MagnitudeImage]:
    """Return those of a stack; it says nothing of numbers where there is one alone."""
    several = len(stack) > 1
    return [
        MagnitudeImage(
            key,
            (f"{key} {what} {number}" if several else key).strip(),
            torch.from_numpy(np.ascontiguousarray(stack[number])),
        )
        for number in numbers
    ]


_READERS = {2: _slices, 3: _volumes}


def _resampled(image: Tensor, longest: int) -> Tensor:
    ratio = longest / max(image.shape)
    rows, columns = (max(1, round(ratio * n)) for n in image.shape)
    return fourier_resample(image, (rows, columns)).clamp_min(0)
