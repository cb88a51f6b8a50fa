"""Stacks of image slices read from volumes and archives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from molrecon.data.formats import ImageData, read_images
from molrecon.data.resampling import effective_bandwidth
from molrecon.errors import InputError

SIGNAL = 0.1
"""Share of the 99.9th percentile above which a pixel counts as signal."""


@dataclass(frozen=True)
class SliceStack:
    """Slices of one volume in one orientation, or of one contrast of a stack."""

    name: str  # file, and orientation or contrast, for messages
    volume: Tensor  # float32, 99.9th percentile 1; shared between orientations
    axis: int  # the axis of volume along which the slices lie
    indices: tuple[int, ...]  # the slices with enough signal
    # smallest and largest random scale, pixels after resampling per stored pixel
    scales: tuple[float, float]

    def slice(self, number: int) -> Tensor:
        """Return the slice of that place in ``indices`` as a view ``(y, x)``."""
        return self.volume.select(self.axis, self.indices[number])


def load_slices(
    path: str | Path,
    *,
    orientations: Sequence[int] = (0, 1, 2),
    minimum_signal: float = 0.08,
    usual_size: int = 240,
) -> list[SliceStack]:
    """Read a file of images into stacks of slices, normalised to a 99.9th percentile of 1.

    Of every array it is one stack for each orientation in which some slice has enough signal.

    Parameters
    ----------
    path
        An image file of any format (see `read_images`) whose arrays have three axes. A volume with
        a geometry, as NIfTI files have, is cut along several axes; other arrays are stacks
        ``(slice, y, x)`` of one contrast each, and are cut along their first axis only.
    orientations
        Axes ``(x, y, z)`` along which a volume is cut.
    minimum_signal
        Slices with a smaller share of pixels above a tenth of the 99.9th percentile are left out.
    usual_size
        Length in pixels of the longer side of a usual scan. Scales lie from 0.7 times the
        one that brings the slice to this length, or fills its k-space if that is smaller (see
        `effective_bandwidth`: stored images are often interpolated), or leaves it as it is if
        even that is, up to twice that. Slices that are small already are not shrunk further, and
        none is enlarged to more than 1.6 times what fills k-space.
    """
    source = Path(path)
    stacks: list[SliceStack] = []
    for name, image in read_images(source).items():
        volume = _normalised(f"{source} {name}".rstrip(), image)
        for axis in (0,) if image.geometry is None else orientations:
            indices = _with_signal(volume, axis, minimum_signal)
            if indices:
                middle = volume.select(axis, indices[len(indices) // 2])
                label = f"{source.name} {name or f'axis {axis}'}"
                scales = _sensible_scales(middle, usual_size)
                stacks.append(SliceStack(label, volume, axis, indices, scales))
    if not stacks:
        raise InputError(f"{source}: no slice holds enough signal; give images of an object.")
    return stacks


def _normalised(name: str, image: ImageData) -> Tensor:
    array = image.array
    if array.ndim != 3 or array.dtype.kind == "c":
        advice = "store one slice as (1, y, x)" if array.ndim == 2 else "store magnitudes like that"
        raise InputError(
            f"{name}: found {array.dtype} with the shape {array.shape}, expected real numbers "
            f"with the axes (slice, y, x); {advice}."
        )
    # Volumes are kept as NIfTI stores them, (x, y, z): orientations count its axes.
    volume = torch.from_numpy(np.array(array if image.geometry is None else array.T, order="C"))
    peak = peak_value(volume)
    return volume.clamp_min_(0).div_(peak) if peak > 0 else torch.zeros_like(volume)


def peak_value(values: Tensor) -> float:
    """Return the 99.9th percentile: a peak that one bright pixel does not move."""
    flat = values.flatten()
    return float(flat.kthvalue(max(1, round(0.999 * flat.numel()))).values)


def _sensible_scales(image: Tensor, usual_size: int) -> tuple[float, float]:
    to_usual = usual_size / max(image.shape)
    bandwidth = effective_bandwidth(image)
    centre = min(1.0, bandwidth, to_usual)
    lowest = max(0.7 * centre, min(centre, 0.7 * to_usual))
    # Raw scans fill their k-space; what vendors store is often zero-filled.
    return lowest, min(2.0 * centre, 1.6 * bandwidth)


def _with_signal(volume: Tensor, axis: int, minimum: float) -> tuple[int, ...]:
    others = [other for other in range(3) if other != axis]
    pixels = volume.numel() / volume.shape[axis]
    share = torch.count_nonzero(volume > SIGNAL, dim=others) / pixels
    return tuple(int(index) for index in torch.nonzero(share >= minimum).flatten())
