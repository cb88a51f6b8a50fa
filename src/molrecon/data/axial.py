"""Axial slices of an image or volume."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from molrecon.data.formats.image_data import ImageData
from molrecon.data.geometry import Geometry
from molrecon.errors import InputError


def axial_axis(image: ImageData) -> int:
    """Return the axis of a volume ``(z, y, x)`` that runs most nearly from foot to head.

    The affine decides; without one it is the first axis.
    """
    if image.geometry is None:
        return 0
    directions = image.geometry.matrix[:3, :3]
    lengths = np.linalg.norm(directions, axis=0)
    along = np.abs(directions[2]) / np.where(lengths > 0, lengths, 1)
    # The affine counts voxel axes as (x, y, z), the array as (z, y, x).
    return 2 - int(np.argmax(along))


def slice_geometry(image: ImageData, number: int | None) -> Geometry | None:
    """Return the geometry of the slices that `axial_slices` took, given the number it returned."""
    if image.geometry is None or image.axes != ("z", "y", "x"):
        return image.geometry
    axis = axial_axis(image)
    order = [axis, *(other for other in range(3) if other != axis)]
    return image.geometry.reordered(order).moved((number or 0, 0, 0))


def axial_slices(image: ImageData, number: int | None = None) -> tuple[Tensor, int | None]:
    """Return slices to simulate scans of, ``(batch, 1, y, x)``, and the number of the one chosen.

    By default it is the middle axial one of a volume, and all of a stack (then None).
    """
    if image.array.ndim == 4:
        raise InputError(
            f"The image {image.source} is a stack of volumes or series of shape "
            f"{image.array.shape}, but one image, stack of slices or volume was expected; take one "
            "out first."
        )
    volume = image.axes == ("z", "y", "x")
    axis = axial_axis(image) if volume else 0
    stack = image.array if image.array.ndim == 3 else image.array[None]
    count = stack.shape[axis]
    if number is not None and not 0 <= number < count:
        raise InputError(
            f"The slice {number} does not exist in {image.source}, which has {count}; choose one "
            f"of 0 to {count - 1}."
        )
    if number is None and volume:
        number = count // 2
    chosen = stack if number is None else np.take(stack, number, axis)[None]
    if not np.abs(chosen).reshape(len(chosen), -1).max(axis=1).all():
        raise InputError(
            f"The image {image.source} is zero throughout the chosen slice, but a scan needs an "
            "object; choose another slice."
        )
    return torch.from_numpy(np.ascontiguousarray(chosen))[:, None], number
