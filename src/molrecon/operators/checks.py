"""What the operators on plain images ask of their arguments."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from molrecon.errors import InputError

IMAGE_DTYPES = (torch.float32, torch.float64, torch.complex64, torch.complex128)


def image_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Return ``(channel, *spatial)`` as a tuple.

    Raises
    ------
    InputError
        If it is not a channel count and at least one spatial length, all positive integers.
    """
    lengths = tuple(shape)
    if len(lengths) < 2 or any(not isinstance(n, int) or n < 1 for n in lengths):
        raise InputError(
            f"shape is {lengths}, expected positive integers (channel, *spatial), without the "
            "batch: for one gray image of 64 by 48 pixels, (1, 64, 48)"
        )
    return lengths


def image_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return ``dtype``.

    Raises
    ------
    InputError
        If images cannot have it.
    """
    if dtype not in IMAGE_DTYPES:
        expected = ", ".join(str(one).removeprefix("torch.") for one in IMAGE_DTYPES)
        raise InputError(f"dtype is {dtype}, expected one of {expected}")
    return dtype


def check_parameter(name: str, values: Tensor, shape: tuple[int, ...]) -> None:
    """Check a mask or kernel ``(batch or 1, channel or 1, *any)`` for images ``shape``.

    Raises
    ------
    InputError
        If it has another number of axes or channels than the images, is empty, or holds NaN or
        infinity.
    """
    if values.ndim != len(shape) + 1 or values.shape[1] not in (1, shape[0]) or not values.numel():
        raise InputError(
            f"{name} has shape {tuple(values.shape)}, expected (batch or 1, "
            f"{'1' if shape[0] == 1 else f'{shape[0]} or 1'}, *spatial) with {len(shape) - 1} "
            f"spatial axes, to fit images of shape {shape}"
        )
    if not bool(torch.isfinite(values).all()):
        raise InputError(f"{name} holds NaN or infinite values")
